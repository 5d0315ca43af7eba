import numpy as np
import pytest

from speech_emotion.models import ShrinkageLDA


@pytest.mark.parametrize(("n", "n_features"), [(200, 30), (30, 200), (60, 60)])
@pytest.mark.parametrize("shrinkage", [0.05, 0.5, 1.0])
def test_weights_solve_the_shrunk_covariance_equations(n, n_features, shrinkage):
    generator = np.random.default_rng(0)
    codes = np.arange(n) % 3
    values = generator.normal(size=(n, n_features))
    values[:, :3] += 2 * np.eye(3)[codes]
    model = ShrinkageLDA(shrinkage).fit(values, codes)
    means = np.stack([values[codes == code].mean(axis=0) for code in range(3)])
    within = np.cov((values - means[codes]).T, bias=True)
    identity = np.trace(within) / n_features * np.eye(n_features)
    shrunk = (1 - shrinkage) * within + shrinkage * identity
    np.testing.assert_allclose(model.coef_ @ shrunk, means - means.mean(axis=0), atol=1e-9)
    assert (model.predict(values) == codes).mean() > 0.7  # chance is 1/3


def test_constant_features_are_accepted():
    codes = np.arange(8) % 2
    for n_features in (2, 20):
        values = np.zeros((8, n_features), dtype=np.float32)
        values[:, 0] = codes
        assert (ShrinkageLDA().fit(values, codes).predict(values) == codes).all()
