"""Which key a case bears, and a few names that are there, so that cases get past the first question.

Keys come from STOCKADE_CONTRACT_KEYS, a JSON object by role. Everything is chosen by counting, so that a run is the same again.
"""

import itertools
import json
import os

import schemathesis

KEYS = json.loads(os.environ["STOCKADE_CONTRACT_KEYS"])
# What the test made before: `supplier` and the like, by the name of the parameter.
KNOWN = json.loads(os.environ["STOCKADE_CONTRACT_KNOWN"])
ROLES = sorted(KEYS)

_turns = itertools.count()


@schemathesis.auth(refresh_interval=None)
class KeyByRole:
    """The roles that a call names, in turn; every eighth case bears a key of any role."""

    def get(self, case, context):
        allowed = case.operation.definition.raw.get("x-roles") or ROLES
        turn = next(_turns)
        if turn % 8 == 7:
            return KEYS[ROLES[(turn // 8) % len(ROLES)]]
        return KEYS[allowed[turn % len(allowed)]]

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Three of four paths name what is there."""
    if path_parameters and next(_turns) % 4:
        for name, value in KNOWN.items():
            if name in path_parameters:
                path_parameters[name] = value
    return path_parameters


@schemathesis.hook
def map_body(context, body):
    """Two of three bodies are about a supplier, a listing and a location that are there."""
    if isinstance(body, dict) and next(_turns) % 3:
        for name in ("supplier", "listing", "location", "sku"):
            if isinstance(body.get(name), str):
                body[name] = KNOWN[name]
    return body
