"""The numbers of a report equal those of other libraries. Without a library its test is skipped, and says so."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn import metrics as sklearn_metrics
from sklearn.base import BaseEstimator, ClassifierMixin
from support.evidence import make_evidence

from resnetctl.trust import scores
from resnetctl.trust.calibration import brier, ece, nll
from resnetctl.trust.conformal import sets, threshold
from resnetctl.trust.evidence import Evidence
from resnetctl.trust.scores import auroc, energy, fpr95, msp

CLOSE = 1e-6


@pytest.fixture(params=[(4, 3.0), (10, 1.0), (100, 2.0)], ids=["4 classes", "10 classes", "100 classes"])
def evidence(request: pytest.FixtureRequest) -> Evidence:
    classes, factor = request.param
    return make_evidence(3000, classes=classes, factor=factor)


def confidence(evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    return softmax(evidence.logits.astype(np.float64), axis=1).max(axis=1), evidence.correct


def test_ece_is_that_of_torchmetrics(evidence: Evidence) -> None:
    others = pytest.importorskip("torchmetrics.functional.classification", reason="torchmetrics is not installed")
    shares = torch.from_numpy(softmax(evidence.logits.astype(np.float64), axis=1))
    wanted = others.multiclass_calibration_error(
        shares, torch.from_numpy(evidence.labels), num_classes=shares.shape[1], n_bins=15, norm="l1"
    )
    assert ece(*confidence(evidence)) == pytest.approx(float(wanted), abs=CLOSE)


def test_ece_is_that_of_netcal(evidence: Evidence) -> None:
    others = pytest.importorskip("netcal.metrics", reason="netcal is not installed")
    wanted = others.ECE(15).measure(softmax(evidence.logits.astype(np.float64), axis=1), evidence.labels)
    assert ece(*confidence(evidence)) == pytest.approx(wanted, abs=CLOSE)


def test_nll_and_brier_are_those_of_scikit_learn(evidence: Evidence) -> None:
    shares, classes = softmax(evidence.logits.astype(np.float64), axis=1), range(evidence.logits.shape[1])
    wide = evidence.logits.astype(np.float64)
    wanted = sklearn_metrics.log_loss(evidence.labels, shares, labels=classes)
    assert nll(wide, evidence.labels) == pytest.approx(wanted, abs=CLOSE)
    wanted = sklearn_metrics.brier_score_loss(evidence.labels, shares, labels=classes, scale_by_half=False)
    assert brier(shares, evidence.labels) == pytest.approx(wanted, abs=CLOSE)


class Given(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose inputs are its probabilities."""

    def __init__(self, count: int = 2) -> None:
        self.count = count
        self.classes_ = np.arange(count)
        self.n_features_in_ = count

    def fit(self, shares: np.ndarray, labels: np.ndarray) -> "Given":
        return self

    def predict_proba(self, shares: np.ndarray) -> np.ndarray:
        return shares

    def predict(self, shares: np.ndarray) -> np.ndarray:
        return shares.argmax(axis=1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_prediction_sets_are_those_of_mapie(evidence: Evidence, level: float) -> None:
    others = pytest.importorskip("mapie.classification", reason="MAPIE is not installed")
    shares, half = softmax(evidence.logits.astype(np.float64), axis=1), len(evidence) // 2
    val, val_labels, test = shares[:half], evidence.labels[:half], shares[half:]
    model = others.SplitConformalClassifier(
        estimator=Given(shares.shape[1]), confidence_level=level, conformity_score="lac", prefit=True
    )
    _, wanted = model.conformalize(val, val_labels).predict_set(test)
    limit = threshold(val, val_labels, level=level)
    is_clear = np.abs(test - limit) > 2e-8  # MAPIE adds 1e-8 to its threshold
    assert is_clear.mean() > 0.9999
    assert np.array_equal(sets(test, limit)[is_clear], wanted[:, :, 0][is_clear])


def test_auroc_and_false_alarms_are_those_of_others() -> None:
    draw = np.random.default_rng(0)
    strange, familiar = draw.normal(1, 1, 700), draw.normal(0, 1, 900).round(2)
    truth, values = np.repeat([1, 0], [700, 900]), np.concatenate([strange, familiar])
    assert auroc(strange, familiar) == pytest.approx(sklearn_metrics.roc_auc_score(truth, values), abs=CLOSE)
    others = pytest.importorskip("pytorch_ood.metrics", reason="pytorch-ood is not installed")
    judge = others.OODMetrics()
    judge.update(torch.from_numpy(values), torch.where(torch.from_numpy(truth) == 1, -1, 1))
    found = judge.compute()
    assert auroc(strange, familiar) == pytest.approx(float(found["AUROC"]), abs=1e-4)
    assert fpr95(strange, familiar) == pytest.approx(float(found["FPR95TPR"]), abs=0.005)


def test_scores_of_strangers_are_those_of_pytorch_ood() -> None:
    others = pytest.importorskip("pytorch_ood.detector", reason="pytorch-ood is not installed")
    evidence = make_evidence(300)
    logits = torch.from_numpy(evidence.logits)
    assert 1 - msp(evidence.logits) == pytest.approx(-others.MaxSoftmax.score(logits).numpy(), abs=1e-5)
    wanted = others.EnergyBased.score(logits).numpy()
    assert energy(evidence.logits) == pytest.approx(wanted, abs=1e-4)
    bank, fresh = (make_evidence(count, seed=seed).features.astype(np.float64) for count, seed in ((400, 2), (50, 3)))
    units = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (bank, fresh)]
    distances = np.sort(np.linalg.norm(units[1][:, None] - units[0][None], axis=2), axis=1)[:, scores.NEIGHBOURS - 1]
    assert scores.knn(fresh, bank) == pytest.approx(distances, abs=1e-6)
