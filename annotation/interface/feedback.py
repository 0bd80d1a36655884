"""What a practice task tells after it was judged: the answer, folded away until somebody asks for it."""

from __future__ import annotations

from warehouse.records import Check

ANSWER = "answer"
COUNTS = "This one counts, so its answer is not shown."
PANEL = f"""\
  <View className="odds-feedback">
    <Collapse accordion="false" bordered="true" open="false">
      <Panel value="Judge first, then open this: a practice task shows its answer here">
        <View><Header value="${ANSWER}" size="5"/></View>
      </Panel>
    </Collapse>
  </View>
"""
"""The part of the page of a qualification project that other pages lack."""


def answer_of(check: Check) -> str:
    """Return what the page of a qualification project says about a check: the right answer if it is for practice."""
    if check.purpose != "practice":
        return COUNTS
    low, high = (f"{100 * bound:.10g}%" for bound in (check.low, check.high))
    if check.low == check.high:
        return f"The answer is {low}."
    if check.low <= 0:
        return f"The answer is at most {high}."
    if check.high >= 1:
        return f"The answer is at least {low}."
    return f"The answer is between {low} and {high}."
