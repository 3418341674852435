"""Whether the documents are what their specifications ask for: validate.py SCHEMAS ASYNCAPI_SPECS."""

import json
import pathlib
import sys

import jsonschema
import openapi_spec_validator

schemas, specs = map(pathlib.Path, sys.argv[1:])
openapi_spec_validator.validate(json.loads((schemas / "openapi.json").read_text()))
print("openapi.json is valid")
# npm may be missing, and with it the schema of AsyncAPI; then the test of its structure stands alone.
schema = specs / "3.0.0-without-$id.json"
if schema.is_file():
    document = json.loads((schemas / "asyncapi.json").read_text())
    jsonschema.Draft7Validator(json.loads(schema.read_text())).validate(document)
print("asyncapi.json is valid" if schema.is_file() else "asyncapi.json was not held against its schema: npm is missing")
