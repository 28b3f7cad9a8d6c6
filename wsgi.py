"""The web application, for gunicorn and for `flask --app wsgi`."""

import sys

from config import ConfigurationError, load
from wavu.app import check_database
from wavu.surfaces import create_web
from workers.manage import add_commands

try:
    app = create_web(load())
except ConfigurationError as error:
    sys.exit(str(error))
check_database(app)
add_commands(app)
