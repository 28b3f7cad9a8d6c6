"""The tenant plane: what one ISP owns. Every table here is under forced row-level security."""
