"""What an ISP's customers do and see, over HTTP."""
