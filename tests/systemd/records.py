"""Reads records of the journal, one JSON object a line: those of a program must have the fields that are named, each in at least one.

usage: records.py PROGRAM FIELD…
"""

import json
import sys


def main():
    program, wanted = sys.argv[1], set(sys.argv[2:])
    records = [json.loads(line) for line in sys.stdin]
    own = [record for record in records if record.get("SYSLOG_IDENTIFIER") == program]
    # what systemd itself caught of standard output has none of our fields
    own = [record for record in own if record.get("_TRANSPORT") == "journal"]
    assert own, f"no record is {program}'s own"
    fields = set()
    for record in own:
        message = record.get("MESSAGE")
        # bytes that are no text come as a list of numbers: something was not escaped
        assert isinstance(message, str) and "\n" not in message, record
        assert record.get("PRIORITY") in "01234567", record
        fields.update(record)
    assert wanted <= fields, f"missing: {wanted - fields}; there are: {sorted(fields)}"
    print(f"{len(own)} of {program}", end="")


main()
