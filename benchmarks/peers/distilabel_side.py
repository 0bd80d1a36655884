"""distilabel asks an endpoint; run by the Python of an environment that has `distilabel[openai]`, and nothing of ours.

    PYTHON distilabel_side.py URL CHATS BATCH

CHATS is a file with a JSON list of chat messages a line. A pipeline of distilabel sends a batch at once and waits for
all of it before the next, so BATCH is its number of requests in flight. Prints JSON: rows, peak GiB.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

os.environ.setdefault("DISTILABEL_LOG_LEVEL", "ERROR")

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import ChatGeneration


def main(url: str, chats: str, batch: str) -> None:
    """Ask everything once; no cache, no structured output, no raw input or output kept beside the reply."""
    rows = [{"messages": json.loads(line)} for line in Path(chats).read_text().splitlines()]
    llm = OpenAILLM(
        model="stub",
        base_url=url,
        api_key="none",
        generation_kwargs={"max_new_tokens": 256, "temperature": 0.7},
    )
    with Pipeline(name="benchmark") as pipeline:
        load = LoadDataFromDicts(data=rows, batch_size=int(batch))
        ask = ChatGeneration(
            llm=llm, input_batch_size=int(batch), add_raw_input=False, add_raw_output=False, use_cache=False
        )
        load >> ask
    made = pipeline.run(use_cache=False)["default"]["train"]
    answered = sum(text is not None for text in made["generation"])
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({"rows": answered, "peak_gib": peak / 2**20}))


if __name__ == "__main__":
    main(*sys.argv[1:])
