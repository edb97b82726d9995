"""Every parameter inside a vote by tasks has a name."""

from __future__ import annotations

import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
)
from sklearn.svm import SVC

from sklearn_dysarthria import (
    PatientVotingClassifier,
    StratifiedPatientKFold,
    patient_scorer,
)


class TestParameters:
    def model(self, on_features):
        models = {
            "phonation": on_features(LogisticRegression()),
            "phonation_long": on_features(SVC()),
        }
        return PatientVotingClassifier(
            on_features(LogisticRegression()),
            task_estimators=models,
            task_weights={"phonation": 1.0, "rhythm": 2.0},
            final_estimator=SVC(),
        )

    def test_every_parameter_has_a_name(self, on_features):
        model = self.model(on_features)
        names = set(model.get_params())
        assert {
            "task_estimators__phonation",
            "task_estimators__phonation__logisticregression__C",
            "task_estimators__phonation_long__svc__C",
            "task_weights__rhythm",
            "final_estimator__C",
            "estimator__logisticregression__C",
        } <= names
        for name, value in model.get_params().items():
            assert clone(model).set_params(**{name: value}).get_params().keys() == names
        assert not any("__" in name for name in model.get_params(deep=False))

    def test_setting(self, on_features):
        model = self.model(on_features)
        given = model.task_estimators
        model.set_params(
            task_estimators__phonation_long__svc__C=7,
            task_weights__rhythm=5.0,
            task_estimators__phonation__logisticregression__C=3,
            task_estimators__phonation=on_features(LogisticRegression(C=8)),
        )
        assert model.task_estimators["phonation_long"][-1].C == 7
        assert model.task_estimators["phonation"][-1].C == 3  # the new one's
        assert given["phonation"][-1].C == 1
        assert model.task_weights == {"phonation": 1.0, "rhythm": 5.0}
        whole = {"x": on_features(SVC(C=2))}
        model.set_params(task_estimators=whole, task_estimators__x__svc__C=4)
        assert model.get_params()["task_estimators__x__svc__C"] == 4

    def test_unknown_names(self, on_features):
        model = self.model(on_features)
        for name in ("task_estimators__rhythm__svc__C", "task_weights__x"):
            with pytest.raises(ValueError, match=f"Invalid parameter {name}"):
                model.set_params(**{name: 1})
        with pytest.raises(ValueError, match="Invalid parameter"):
            model.set_params(task_estimators__phonation__nonsense=1)
        with pytest.raises(ValueError, match="has no entry"):
            PatientVotingClassifier().set_params(task_estimators__a=SVC())

    def test_a_grid_reaches_inside(self, tasks, on_features):
        X, y = tasks()
        models = {name: on_features(LogisticRegression()) for name in ("phonation", "rhythm")}
        grid = {
            "task_estimators__phonation__logisticregression__C": [1e-9, 1.0],
            "voting": ["soft", "weighted"],
            "task_weights__phonation": [0.5],
        }
        model = PatientVotingClassifier(
            task_estimators=models, task_weights={"phonation": 1, "rhythm": 1}
        )
        cv = StratifiedPatientKFold(2, random_state=0)
        search = GridSearchCV(model, grid, cv=cv, scoring=patient_scorer("neg_log_loss")).fit(X, y)
        assert len(set(search.cv_results_["mean_test_score"].round(9))) == 4
        best = search.best_estimator_
        name = "task_estimators__phonation__logisticregression__C"
        assert search.best_params_[name] == best.task_estimators_["phonation"][-1].C
        assert models["phonation"][-1].C == 1.0
        assert not hasattr(models["phonation"][-1], "coef_")
