"""The promise: of 180 dwarfs among 6,000 simulated objects, most are found within 400 labels, from no label at all.

An oracle answers what `suggest(10)` asks with the simulated truth. The encoder learned from other simulated surveys
(other seeds), so this says that the loop works, not how well the encoder does on the sky.
"""

import numpy as np
import pytest

from engine.data.simulation.simulate import simulate

OBJECTS, LABELS, BATCH = 6000, 400, 10


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    survey = simulate(tmp_path_factory.mktemp("discovery") / "simulated.survey", OBJECTS, seed=7)
    survey.embed("skysieve-base")
    yield survey
    survey.labels.close()


def hunt(survey, dwarf):
    """Number of dwarfs found after each batch."""
    loop, found = survey.interest("dwarf"), []
    while len(found) * BATCH < LABELS:
        asked = loop.suggest(BATCH)
        loop.label({name: bool(dwarf[row]) for name, row in zip(asked["id"], asked["row"])}, user="oracle")
        found.append(int((survey.labels.current("dwarf").values == "yes").sum()))
    return np.array(found)


def test_most_dwarfs_are_found_within_400_labels_and_by_chance_few(survey):
    dwarf = survey.column("truth") == "dwarf"
    assert dwarf.sum() == 180
    random = np.random.default_rng(0)
    by_chance = np.mean([dwarf[random.choice(OBJECTS, LABELS, replace=False)].sum() for _ in range(200)])
    found = hunt(survey, dwarf)
    at = {labels: found[labels // BATCH - 1] for labels in (100, 200, 400)}
    print(
        f"\nof 180 dwarfs among {OBJECTS:,}: "
        + ", ".join(f"{n} after {labels} labels" for labels, n in at.items())
        + f"; in a random order {by_chance:.1f} after {LABELS}"
        + f" ({found[-1] / 180:.1%} against {by_chance / 180:.1%})"
    )
    assert found[-1] >= 0.8 * 180
    assert by_chance < 0.1 * 180
