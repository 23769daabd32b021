"""Parses command lines with Python's own argparse: the counterpart of the normaliser.

Reads a JSON object {"options": [{long, short?, kind, bare?}], "lines": [[word, ...], ...]} and prints one JSON array:
for each line an object of what was set, or null where argparse refuses it.
"""
import argparse
import json
import sys


class Refused(Exception):
    pass


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise Refused(message)


job = json.load(sys.stdin)
parser = Parser(add_help=False)
for option in job["options"]:
    names = (["-" + option["short"]] if option.get("short") else []) + ["--" + option["long"]]
    settings = {"dest": option["long"], "default": argparse.SUPPRESS}
    if option["kind"] == "flag":
        parser.add_argument(*names, action="store_true", **settings)
    elif option["kind"] == "value":
        parser.add_argument(*names, **settings)
    else:
        parser.add_argument(*names, nargs="?", const=option["bare"], **settings)

results = []
for line in job["lines"]:
    try:
        results.append(vars(parser.parse_args(line)))
    except Refused:
        results.append(None)
json.dump(results, sys.stdout)
