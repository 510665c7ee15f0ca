"""Write the Grafana dashboards as JSON: ``python docker/grafana/dashboards.py [FOLDER]``.

They are made in Python for the sake of one look, and so that Grafana's own library checks them.
"""

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from distillation import distillation
from overview import overview

FOLDER = Path(__file__).with_name("dashboards")


def write(folder: Path) -> None:
    """Write each dashboard to a file of its own; numbers its panels."""
    for board in (overview(), distillation()):
        model = board.build()
        for number, panel in enumerate(model.panels or [], 1):
            panel.id_val = number
        text = json.dumps(model, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False)
        (folder / f"{(model.title or '').lower()}.json").write_text(f"{text}\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
