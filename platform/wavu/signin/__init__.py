"""Surface: signing in and one's own account, the same for an ISP's people and for platform staff."""

from flask import Flask

from wavu.signin import account, auth

SURFACES = "backoffice|console"


def init_signin(app: Flask) -> None:
    app.register_blueprint(auth.bp, subdomain=SURFACES)
    app.register_blueprint(account.bp, subdomain=SURFACES)
