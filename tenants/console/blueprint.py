"""The console's blueprint; each module of this surface adds the pages of its topic."""

from flask import Blueprint

bp = Blueprint("console", __name__, template_folder="templates")
