"""Print the versions installed for an interpreter, as a constraints file: `freeze.py PYTHON`.

Local version labels (`2.13.0+cpu`) are cut, so that the file serves machines with other builds, and the product itself
and pip's own packages are left out.
"""

import json
import subprocess
import sys

OWN = {"odds", "pip", "setuptools", "wheel"}


def constraints(listed: list[dict[str, str]]) -> list[str]:
    """One `name==version` a package, sorted, from pip's JSON listing."""
    return sorted(f"{p['name'].lower()}=={p['version'].split('+')[0]}" for p in listed if p["name"].lower() not in OWN)


if __name__ == "__main__":
    listing = subprocess.run(
        [sys.argv[1], "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
        check=True,
        capture_output=True,
        text=True,
    )
    print(*constraints(json.loads(listing.stdout)), sep="\n")
