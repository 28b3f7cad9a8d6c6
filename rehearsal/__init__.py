"""The rehearsal: the whole product on one bare machine, with servers, mail and data of its own. Never in production."""
