"""Study files: what they may say, and what is said about what they may not."""

import inspect
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

import sklearn_dysarthria
from sklearn_dysarthria.cli._corpus import (
    CORPORA,
    corpus_arguments,
    load_corpus,
    loader_of,
    positive_of,
)
from sklearn_dysarthria.cli._models import MODELS, build_model
from sklearn_dysarthria.cli._signatures import parameters_of
from sklearn_dysarthria.cli._study import Evaluation, Run, StudyError, read_study
from sklearn_dysarthria.report import PARTS


def written(tmp_path, text, name="study.toml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def model_of(*assignments, labels=None, name="hyper-alexnet"):
    study = read_study([], [f"model.name={name}", *assignments])
    return build_model(study.model, None, labels)


def test_nothing_given():
    study = read_study([])
    assert study.corpus == {}
    assert study.model.name is None
    assert study.evaluation == Evaluation()
    assert study.run == Run()


def test_tables_are_estimator_parameters(tmp_path):
    text = """
    [model]
    name = "hyper-alexnet"
    [model.voting]
    voting = "hard"
    [model.params]
    images__n_mels = 32
    [model.params.images]
    freq_ranges = {phonation = [50, 4000]}
    [model.params.classify]
    lr = 1
    oversample = {1 = 21, 2 = 5}
    """
    study = read_study([written(tmp_path, text)])
    parameters = build_model(study.model, None, [1, 2, 3]).get_params()
    assert parameters["voting"] == "hard"
    assert parameters["estimator__images__n_mels"] == 32
    assert parameters["estimator__images__freq_ranges"] == {"phonation": [50, 4000]}
    assert parameters["estimator__classify__lr"] == 1
    assert parameters["estimator__classify__oversample"] == {1: 21, 2: 5}


def test_later_assignments_win_however_they_are_spelled(tmp_path):
    path = written(tmp_path, "[model]\nname='hyper-alexnet'\n[model.params.images]\nn_mels = 16")
    study = read_study([path], ["model.params.images__n_mels=17"])
    assert build_model(study.model).get_params()["estimator__images__n_mels"] == 17
    study = read_study([path], ["model.params.images__n_mels=17", "model.params.images.n_mels=18"])
    assert build_model(study.model).get_params()["estimator__images__n_mels"] == 18
    assert read_study([], ["evaluation.n_splits=4"], {"evaluation.n_splits": 9}).evaluation == (
        Evaluation(n_splits=4)
    )


def test_none_where_none_is_allowed():
    assert (
        model_of("model.params.classify.backbone.weights=none").estimator[-1].backbone.weights
        is None
    )
    assert model_of("model.params.images.fmax='None'").estimator[0].fmax is None
    with pytest.raises(StudyError, match=r"model\.params\.images\.n_mels"):
        model_of("model.params.images.n_mels=none")
    assert read_study([], ["run.cache=none"]).run.cache is None
    assert corpus_arguments({"name": "a.csv", "patient": "none"})["patient"] is None


@pytest.mark.parametrize("name", ["hyper-alexnet", "sand-convnext"])
def test_parameters_inside_parameter_objects(name):
    model = model_of("model.params.classify.augment.rotation=10", name=name)
    assert model.estimator[-1].augment.rotation == 10
    for entries in (
        ["model.params.classify.loss=focal", "model.params.classify.loss.gamma=3.0"],
        ["model.params.classify__loss=focal", "model.params.classify__loss__gamma=3.0"],
        ["model.params.classify.loss={name='focal', gamma=3.0}"],
        ["model.params.classify={loss__gamma=3.0, loss='focal'}"],
    ):
        model = model_of(*entries, name=name)
        assert repr(model.estimator[-1].loss) == "FocalLoss(gamma=3.0)"
    weights = model_of("model.params.classify.class_weight={1=3}", labels=[0, 1], name=name)
    assert weights.estimator[-1].class_weight == {1: 3}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        (
            "augment.rotatoin=3",
            r"'rotatoin' in \[model.params.classify.augment\]. Did you mean 'rot",
        ),
        ("augment.rotation=-3", "model.params.classify.augment.rotation: "),
        ("loss=focl", "model.params.classify.loss: .*Did you mean 'focal'"),
        ("early_stopping.patience=3", "set early_stopping=EarlyStopping.* first"),
        ("lr.x=3", "model.params.classify.lr: "),
    ],
)
def test_wrong_entries_inside_parameter_objects(assignment, message):
    with pytest.raises(StudyError, match=message):
        model_of(f"model.params.classify.{assignment}")


def test_values_of_assignments():
    def value(text):
        return read_study([], [f"corpus.x={text}"]).corpus["x"]

    assert value("3") == 3
    assert value("1e-3") == 0.001
    assert value("true") is True
    assert value("[1, 2]") == [1, 2]
    assert value("ALS") == "ALS"
    assert value("a=b") == "a=b"
    assert value("'007'") == "007"
    assert value("3\ny = 4") == "3\ny = 4"


@given(st.text())
def test_any_text_is_a_value(text):
    assert "x" in read_study([], [f"corpus.x={text}"]).corpus


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("model.nam=a", r"Unknown key 'nam' in \[model\]. Did you mean 'name'"),
        ("model.preset=papr", "Unknown preset 'papr'. Did you mean 'paper'"),
        ("model.name=hyperalexnet", "Did you mean 'hyper-alexnet'"),
        ("model.params.imags.n_mels=3", r"'imags' in \[model.params\]. Did you mean 'images'"),
        ("model.params.images.n_mel=3", r"\[model.params.images\]. Did you mean 'n_mels'"),
        ("model.params.images__n_mel=3", "Did you mean 'images__n_mels'"),
        ("model.params.images=3", "model.params.images is a step of the model"),
        ("model.params.images.n_mels=x", r"model.params.images.n_mels: .* must be an int"),
        ("model.params.images.n_mels=0", "model.params.images.n_mels: "),
        ("model.params.images.n_mels=true", "must be a number, not True"),
        ("model.params=3", "needs the name of a parameter"),
        ("model.voting.votin=soft", "Did you mean 'voting'"),
        ("model.voting.voting=loud", "model.voting.voting: "),
        ("model.voting.estimator=x", "Unknown key 'estimator'"),
        ("evaluation.n_splits=a", "evaluation.n_splits must be an integer, not 'a'"),
        ("evaluation.n_splits=true", "evaluation.n_splits must be an integer"),
        ("evaluation.scoring=[1]", "evaluation.scoring must be text or a list of text"),
        ("run.on_error=skip", "run.on_error must be 'raise' or 'nan'"),
        ("run.cahce=a", "Did you mean 'cache'"),
        ("evaluation=3", "must name an entry of a table"),
        ("n_splits=3", "must name an entry of a table"),
        ("model.name.first=3", "model.name is no table"),
    ],
)
def test_wrong_entries_are_named(assignment, message):
    with pytest.raises(StudyError, match=message):
        model_of(assignment)


@pytest.mark.parametrize("text", ["corpus", "=3", ".=3", "corpus.=3"])
def test_assignments_without_a_name(text):
    with pytest.raises(typer.BadParameter, match="is not name=value"):
        read_study([], [text])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[modle]\n", r"Unknown table \[modle\]. Did you mean 'model'"),
        ("model = 3", "model must be a table"),
        ("corpus = 3", "corpus must be a table"),
        ("[model]\nparams = 3", "model.params must be a table"),
        ("[model", "is not TOML"),
        (
            "[model]\nname='hyper-alexnet'\nparams.images__n_mels=3\nparams.images.n_mels=4",
            "model.params.images.n_mels and model.params.images__n_mels are one parameter",
        ),
    ],
)
def test_wrong_files(tmp_path, text, message):
    with pytest.raises(StudyError, match=message):
        build_model(read_study([written(tmp_path, text)]).model)


def test_file_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(StudyError, match="no study file"):
        read_study([str(tmp_path / "a.toml")])
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(StudyError, match="not text in UTF-8"):
        read_study([str(tmp_path / "b.toml")])


def test_side_by_side_does_not_vote():
    with pytest.raises(StudyError, match="does not vote"):
        model_of("model.voting.voting=soft", name="egemaps-svm-side-by-side")
    model = model_of("model.params.classifier.classify.C=3", name="egemaps-svm-side-by-side")
    assert model.classifier[-1].C == 3


def test_paths_start_at_the_file(tmp_path):
    (tmp_path / "own.pth").touch()
    text = """
    [corpus]
    name = "data/patients.csv"
    root = "wav"
    [model]
    name = "hyper-alexnet"
    [model.params]
    classify__backbone__weights = "own.pth"
    [run]
    cache = "cache"
    """
    study = read_study([written(tmp_path, text)])
    assert Path(study.corpus["name"]) == tmp_path / "data" / "patients.csv"
    assert Path(study.corpus["root"]) == tmp_path / "wav"
    assert Path(study.run.cache) == tmp_path / "cache"
    assert Path(build_model(study.model).estimator[-1].backbone.weights) == tmp_path / "own.pth"
    text = text.replace("own.pth", "IMAGENET1K_V1")
    study = read_study([written(tmp_path, text)], ["run.cache=here"])
    assert study.run.cache == "here"
    assert build_model(study.model).estimator[-1].backbone.weights == "IMAGENET1K_V1"


def test_another_corpus_takes_the_arguments_of_its_kind_only(tmp_path):
    path = written(tmp_path, "[corpus]\nname = 'minsk2020'\ntarget = 'bulbar'")
    assert read_study([path, "synthetic"]).corpus == {"name": "synthetic"}
    assert read_study([path, "minsk2020"]).corpus["target"] == "bulbar"
    path = written(tmp_path, "[corpus]\nname = 'a.csv'\ntarget = 'severity'")
    assert read_study([path, "b.parquet"]).corpus == {"name": "b.parquet", "target": "severity"}


def test_settings_do_not_depend_on_layout(tmp_path):
    one = written(tmp_path, "[model]\nname='sand-convnext'\n[run]\nn_jobs=2", "a.toml")
    two = written(tmp_path, "# again\nmodel = {name = 'sand-convnext'}", "b.toml")
    assert read_study([one]).settings() == read_study([two]).settings()
    assert read_study([one]).settings() != read_study([one], ["model.random_state=1"]).settings()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_every_model_and_preset(name, preset):
    assert hasattr(model_of(f"model.preset={preset}", name=name), "predict_patients")


@pytest.mark.parametrize("name", CORPORA)
def test_arguments_of_every_corpus(name):
    arguments = corpus_arguments({"name": name})
    assert set(arguments) <= {"random_state"}
    with pytest.raises(StudyError, match="Unknown key 'return_X_y'"):
        corpus_arguments({"name": name, "return_X_y": True})


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        ({}, "Which corpus"),
        ({"name": 3}, "corpus.name must be text"),
        ({"name": "synthetic", "n_patient": 3}, "Did you mean 'n_patients'"),
        ({"name": "synthetic", "n_patients": "3"}, "corpus.n_patients must be an integer"),
        ({"name": "a.csv", "traget": "x"}, r"\[corpus\]. Did you mean 'target'"),
        ({"name": "a.csv", "target": 3}, 'corpus.target must be text or "none", not 3'),
        (
            {"name": "synthetic", "duration": "x"},
            "corpus.duration must be a number or a list of numbers, not 'x'",
        ),
        ({"name": "synthetic", "duration": [1]}, "must be a number or a list of numbers"),
        ({"name": "synthetic", "tasks": [1]}, r"corpus.tasks must be text or a list of text, not"),
        ({"name": "synthetic", "n_patients": True}, "must be an integer, not True"),
        ({"name": "synthetic", "n_patients": 4.0}, "must be an integer, not 4.0"),
        ({"name": "minsk2020", "download_if_missing": 1}, "must be true or false, not 1"),
    ],
)
def test_wrong_corpora(corpus, message):
    with pytest.raises(StudyError, match=message):
        corpus_arguments(corpus)


def test_values_of_corpora_are_those_of_toml():
    corpus = {"name": "synthetic", "duration": [1, 2.5], "weights": "none", "tasks": ["rhythmPA"]}
    arguments = corpus_arguments(corpus)
    assert tuple(arguments["duration"]) == (1, 2.5)
    assert arguments["weights"] is None
    assert arguments["tasks"] == ["rhythmPA"]
    assert corpus_arguments({"name": "synthetic", "duration": 2})["duration"] == 2


def test_synthetic_corpus_is_the_same_every_time():
    corpus = {"name": "synthetic", "n_patients": 2, "duration": 0.5, "tasks": ["phonationA"]}
    (one, _), (two, _) = load_corpus(corpus), load_corpus(corpus)
    assert (one["audio"][0] == two["audio"][0]).all()


def test_a_misspelled_name_of_the_corpus():
    with pytest.raises(StudyError, match=r"Unknown key 'nmae' .* Did you mean 'name'"):
        loader_of({"nmae": "patients.csv"})


@pytest.mark.parametrize(
    ("spelled", "labels", "label"),
    [
        (1, [0, 1], 1),
        (1.0, [0, 1], 1),
        ("1", [0, 1], 1),
        (1, ["0", "1"], "1"),
        (True, [False, True], True),
        ("ALS", ["ALS", "HC"], "ALS"),
    ],
)
def test_labels_keep_their_type(spelled, labels, label):
    found = positive_of(spelled, labels)
    assert (found, type(found)) == (label, type(label))


def test_positive_of_more_classes():
    assert positive_of(None, [1, 2, 3]) is None
    with pytest.raises(StudyError, match="must be one of two classes"):
        positive_of(1, [1, 2, 3])
    with pytest.raises(StudyError, match="must be one of two classes"):
        positive_of(True, [0, 1])


@pytest.mark.parametrize(
    "name",
    sorted(
        {*CORPORA.values(), "load_recordings", "PatientVotingClassifier"}.union(
            part for parts in PARTS.values() for part in parts.values() if part
        )
    ),
)
def test_parameters_are_read_from_the_source_as_they_are(name):
    signature = inspect.signature(getattr(sklearn_dysarthria, name))
    assert list(parameters_of(name)) == list(signature.parameters)


def test_annotations_are_those_of_values_in_a_study():
    types = parameters_of("make_dysarthric_speech")
    assert types["n_patients"] is int
    assert types["tasks"] == str | list[str]
    assert types["folder"] == str | None
