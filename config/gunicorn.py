"""gunicorn: threads for waiting, processes for cores, the application loaded once before the fork."""

import os
import sys


def _number(variable: str, default: str) -> int:
    text = os.environ.get(variable) or default
    if not text.isdecimal() or not 0 < int(text) < 1000:
        sys.exit(f"{variable}={text} is not a number from 1 to 999: choose one, such as {variable}={default}.")
    return int(text)


bind = f"{os.environ.get('BIND', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"
workers = _number("WEB_WORKERS", "2")
threads = _number("WEB_THREADS", "4")
worker_class = "gthread"
preload_app = True
timeout = 30
graceful_timeout = 30
keepalive = 5
# Slow requests must not be able to hold a worker's memory.
limit_request_line = 4094
limit_request_fields = 60
max_requests = 20_000
max_requests_jitter = 2_000
# The proxy in front is on this machine; nobody else's forwarded headers are read.
forwarded_allow_ips = "127.0.0.1,::1"
# Not even from there: SCRIPT_NAME and PATH_INFO in headers would move the application.
forwarder_headers = ""
# Nor by the environment, where gunicorn looks at each request: every host is served from its root, and a SCRIPT_NAME
# that some supervisor left there would answer every page with 500.
os.environ.pop("SCRIPT_NAME", None)
accesslog = None
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108 - gunicorn's own heartbeat files

# No control socket: signals are enough.
control_socket_disable = True
