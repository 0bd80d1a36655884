"""What `prefect.yaml` deploys: the Prefect flow of every stage, where a worker finds it in the installed package."""

from __future__ import annotations

from flows import ablate as _ablate
from flows import agree as _agree
from flows import cycle as _cycle
from flows import elicit as _elicit
from flows import evaluate as _evaluate
from flows import judge as _judge
from flows import maintain as _maintain
from flows import propose as _propose
from flows import publish as _publish
from flows import pull as _pull
from flows import push as _push
from flows import recalibrate as _recalibrate
from flows import score as _score
from flows import select as _select
from flows import train as _train

ablate = _ablate.ablate.flow
agree = _agree.agree.flow
cycle = _cycle.cycle.flow
elicit = _elicit.elicit.flow
evaluate = _evaluate.evaluate.flow
judge = _judge.judge.flow
maintain = _maintain.maintain.flow
propose = _propose.propose.flow
publish = _publish.publish.flow
pull = _pull.pull.flow
push = _push.push.flow
recalibrate = _recalibrate.recalibrate.flow
score = _score.score.flow
select = _select.select.flow
train = _train.train.flow
