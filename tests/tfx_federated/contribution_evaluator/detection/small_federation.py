"""A federation that trains in a blink: logistic regression on sparse features, with the ledger in memory."""

import numpy as np

FEATURES = 60
ROUNDS = 18
SILOS = 24


class Federation:
    """Rows of every silo, and what some of them send instead of their update.

    `lies` maps a silo's position to a function (round from 0, weights, weights before, update) -> update; `asked` tells
    whether a silo takes part in a round.
    """

    def __init__(self, seed=0, rows=None):
        generator = np.random.default_rng(seed)
        self.rows = np.geomspace(30, 600, SILOS).astype(int) if rows is None else np.asarray(rows)
        truth = generator.normal(0, 2.0, FEATURES)
        # As in one-hot features, some are frequent and most are rare.
        frequency = 0.5 / np.arange(1, FEATURES + 1) ** 0.7
        self.x = [(generator.random((count, FEATURES)) < frequency).astype(float) for count in self.rows]
        self.y = [(generator.random(len(x)) < 1 / (1 + np.exp(1 - x @ truth))).astype(float) for x in self.x]
        self.names = [f"silo {number}" for number in range(len(self.rows))]
        self.lies = {}
        self.asked = lambda turn, silo: True
        self.generator = generator

    def train(self, stores_updates=True, losses=True):
        return _Ledger(self, stores_updates, losses)


class _Ledger:
    def __init__(self, federation, stores_updates, losses):
        silos = len(federation.rows)
        shape = (ROUNDS, silos)
        self.silos, self.rounds = federation.names, list(range(1, ROUNDS + 1))
        self.update_rounds = self.rounds if stores_updates else []
        self.rows, self.weight, self.update_norm, self.cosine, self.loss_before = (
            np.full(shape, np.nan) for _ in range(5)
        )
        self._stored = {}
        weights, before = np.zeros(FEATURES + 1), None
        for turn in range(ROUNDS):
            cohort = [silo for silo in range(silos) if federation.asked(turn, silo)]
            updates = []
            for silo in cohort:
                x = np.column_stack([federation.x[silo], np.ones(len(federation.x[silo]))])
                trained = weights.copy()
                for batch in np.array_split(federation.generator.permutation(len(x)), -(-len(x) // 32)):
                    trained -= (
                        0.5 * x[batch].T @ (_sigmoid(x[batch] @ trained) - federation.y[silo][batch]) / len(batch)
                    )
                update = trained - weights
                lie = federation.lies.get(silo)
                updates.append(lie(turn, weights, before, update) if lie else update)
                if losses:
                    logits = x @ weights
                    self.loss_before[turn, silo] = np.mean(np.logaddexp(0, logits) - federation.y[silo] * logits)
            updates = np.array(updates)
            count = federation.rows[cohort].astype(float)
            aggregate = count @ updates / count.sum()
            norm = np.linalg.norm(updates, axis=1)
            self.rows[turn, cohort] = self.weight[turn, cohort] = count
            self.update_norm[turn, cohort] = norm
            with np.errstate(invalid="ignore"):
                self.cosine[turn, cohort] = updates @ aggregate / (norm * np.linalg.norm(aggregate))
            names = [federation.names[silo] for silo in cohort]
            arrays = [array.astype(np.float32) for array in (count, weights, updates)]
            self._stored[turn + 1] = (names, *arrays)
            before, weights = weights, weights + aggregate

    def updates(self, round_number):
        return self._stored[round_number]


def _sigmoid(logits):
    return 1 / (1 + np.exp(-logits))
