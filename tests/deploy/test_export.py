"""Another engine gives torch's answers, and what was asked for is what runs."""

import pickle
import shutil
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import cases, draw_dataset, refused

from segkit.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from segkit.data import Preprocessing
from segkit.deploy import export
from segkit.deploy.engines import OpenVinoEngine, calibration_pictures, exported, tensorrt_settings
from segkit.deploy.export import TOLERANCE, differences, export_onnx, read_info, read_metadata
from segkit.files import UserError, embedded_path
from segkit.models import build_model
from segkit.predict import Segmenter


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small U-Net that was never trained, but whose answers are not all alike, with odd settings."""
    folder = tmp_path_factory.mktemp("network")
    draw_dataset(folder / "drawn", 24)
    prep = Preprocessing(size=72, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
    torch.manual_seed(0)
    model = build_model("unet", widths=(8, 16), bottleneck=16)
    for _ in range(50):  # batch normalisation learns its means
        model(torch.randn(4, 3, 72, 72))
    model.head.weight.data *= 5
    known = {"threshold": 0.4, "trained_on": ({"name": "drawn", "images": 17},), "scores": {"val_dice": 0.5}}
    info = CheckpointInfo(model.built_as, prep, **known)
    return save_checkpoint(folder / "tiny.safetensors", model.eval(), info)


@pytest.fixture(scope="module")
def whole(checkpoint, tmp_path_factory):
    return export_onnx(checkpoint, tmp_path_factory.mktemp("export") / "tiny.onnx")


@pytest.fixture
def cached(whole, checkpoint, tmp_path, monkeypatch):
    """A cache folder that holds the exported file already, which saves seconds in each test."""
    monkeypatch.setenv("SEGKIT_DATA", str(tmp_path / "cache"))

    def copy(_, out):
        out.parent.mkdir(parents=True, exist_ok=True)
        return shutil.copy(whole, out)

    monkeypatch.setattr("segkit.deploy.engines.export_onnx", copy)
    return tmp_path / "cache"


@pytest.fixture
def drawn(checkpoint):
    return checkpoint.parent / "drawn"


# --- the file ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_shipped_base_exports_to_the_fourth_digit_at_three_sizes(tmp_path):
    checkpoint = embedded_path("weights") / "person-base.safetensors"
    path = export_onnx(checkpoint, tmp_path / "base.onnx")
    found = differences(path, checkpoint)
    assert len(found) == 3 and max(found.values()) < TOLERANCE["fp32"] == 1e-4
    assert read_info(path) == load_checkpoint(checkpoint)[1]


@pytest.mark.slow
def test_several_classes_leave_through_a_softmax(tmp_path):
    torch.manual_seed(0)
    model = build_model("unet", widths=(4,), bottleneck=8, num_classes=3)
    info = CheckpointInfo(model.built_as, Preprocessing(size=32), ("background", "head", "rest"))
    checkpoint = save_checkpoint(tmp_path / "parts.safetensors", model, info)
    person = Segmenter.load(export_onnx(checkpoint, tmp_path / "parts.onnx"))
    image = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    prob = person(image)
    assert prob.shape == (3, 50, 40) and np.allclose(prob.sum(0), 1, atol=1e-5)
    assert np.allclose(prob, Segmenter.load(checkpoint, "cpu")(image), atol=1e-5)


def test_the_file_says_what_the_checkpoint_says_and_names_no_place_of_the_machine(whole, checkpoint):
    assert read_info(whole) == load_checkpoint(checkpoint)[1]
    assert read_metadata(whole)["divisor"] == "4" and read_metadata(whole)["precision"] == "fp32"
    assert b"site-packages" not in whole.read_bytes()
    assert b"segkit/unet.py" not in whole.read_bytes()


@pytest.mark.slow
def test_a_file_that_differs_from_torch_is_not_written(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("segkit.deploy.export.differences", lambda *_: {(32, 32): 0.01})
    refused("not written", export_onnx, checkpoint, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_half_is_half_the_size_and_close(whole, checkpoint, tmp_path):
    path = export.halve(whole, tmp_path / "half.onnx")
    assert path.stat().st_size < 0.75 * whole.stat().st_size  # the graph itself weighs in so small a file
    assert 0 < max(differences(path, checkpoint).values()) < TOLERANCE["half"]
    assert read_metadata(path)["precision"] == "half"
    assert {t.data_type for t in onnx.load(path).graph.initializer} >= {onnx.TensorProto.FLOAT16}


def test_int8_calculates_in_whole_numbers_but_at_the_ends(whole, checkpoint, drawn, tmp_path):
    pictures = calibration_pictures(read_info(whole).preprocessing, drawn)
    assert pictures[0].shape == (72, 72, 3)
    path = export.quantise(whole, tmp_path / "int8.onnx", pictures)
    graph = onnx.load(path).graph
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    inputs = [made_by.get(node.input[0]) for node in graph.node if node.op_type == "Conv"]
    assert inputs[0] != "DequantizeLinear" and inputs[-1] != "DequantizeLinear"
    assert set(inputs[1:-1]) == {"DequantizeLinear"}
    assert 1e-4 < max(differences(path, checkpoint).values()) < 0.5
    assert read_info(path) == read_info(whole)


def test_pictures_to_calibrate_with_come_from_all_over_the_set(make_dataset, monkeypatch):
    folder, seen = make_dataset(5), {}
    (folder / "splits.csv").write_text("name,split\n" + "".join(f"00{i},val\n" for i in range(5)))
    for most in (3, 5):
        monkeypatch.setattr("segkit.deploy.engines.CALIBRATION_PICTURES", most)
        seen[most] = [image.tobytes() for image in calibration_pictures(Preprocessing(size=32), folder)]
    assert [seen[5].index(image) for image in seen[3]] == [0, 1, 3]


def test_a_set_without_validation_pictures_cannot_calibrate(make_dataset):
    folder = make_dataset(3)
    (folder / "splits.csv").write_text("name,split\n000,train\n001,train\n002,test\n")
    refused("validation pictures", calibration_pictures, Preprocessing(size=32), folder)


@cases(
    "content sentence",
    (None, "there is no file"),
    (b"\xff" * 50, "not a whole .onnx file"),
    ("foreign", "segkit export"),
    ("changed", "its checksum does not fit"),
    ("newer", "does not run with onnx here"),
)
def test_a_file_that_is_none_of_ours_is_one_sentence(tmp_path, whole, content, sentence):
    path = tmp_path / "x.ONNX"
    if content == "foreign":
        node = onnx.helper.make_node("Relu", ["x"], ["y"])
        ends = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1]) for n in "xy"]
        onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", ends[:1], ends[1:])), path)
    elif content == "newer":
        graph = onnx.load(whole)
        graph.ir_version = 99
        export._write(graph, path, read_metadata(whole))
    elif content == "changed":
        graph = onnx.load(whole)
        weights = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        weights.raw_data = bytes([weights.raw_data[0] ^ 1]) + weights.raw_data[1:]
        onnx.save(graph, path)
    elif content:
        path.write_bytes(content)
    refused(sentence, Segmenter.load, path)


# --- the engines ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_an_engine_gives_the_answers_of_torch(cached, checkpoint, astronaut, engine):
    torchs, theirs = Segmenter.load(checkpoint, "cpu"), Segmenter.load(checkpoint, engine=engine, threads=1)
    images = [astronaut, astronaut[:200], astronaut[:, :100]]
    for expected, got in zip(torchs.predict_batch(images), theirs.predict_batch(images), strict=True):
        assert got.dtype == np.float32 and np.abs(expected - got).max() < 1e-4
    assert theirs(astronaut).std() > 0.05  # the answers say something
    views = {"flip": True, "scales": (0.6, 1.0, 1.4)}  # sizes between the steps are padded as torch does
    assert np.abs(torchs(astronaut, **views) - theirs(astronaut, **views)).max() < 1e-4
    assert (pickle.loads(pickle.dumps(theirs))(astronaut) == theirs(astronaut)).all()
    assert theirs.threshold == 0.4 and theirs.classes == ("person",)


def test_openvino_has_answered_before_several_threads_may_ask_it_at_once(cached, checkpoint, monkeypatch):
    answer, asked = OpenVinoEngine.__call__, []
    monkeypatch.setattr(
        OpenVinoEngine, "__call__", lambda self, images: asked.append(images.shape) or answer(self, images)
    )
    person = Segmenter.load(checkpoint, engine="openvino")
    assert asked == [(1, person.engine.divisor, person.engine.divisor, 3)]


def test_an_answer_stays_what_it_was_when_the_next_is_asked_for(cached, checkpoint, astronaut):
    person = Segmenter.load(checkpoint, engine="openvino")
    small = person.preprocessing.resize(astronaut)
    first = person._probabilities(small[None])
    kept = first.copy()
    person._probabilities(255 - small[None])
    assert (first == kept).all()


@pytest.mark.parametrize(
    ("engine", "precision", "most"),
    [("torch", "half", 0.1), ("onnx", "half", 0.02), ("openvino", "half", 0.1), ("onnx", "int8", 0.5)],
)
def test_lower_precision_is_close_and_says_so(cached, checkpoint, astronaut, engine, precision, most):
    exact = Segmenter.load(checkpoint, "cpu")(astronaut)
    person = Segmenter.load(checkpoint, "cpu", engine, precision)
    assert 0 < np.abs(person(astronaut) - exact).max() < most
    assert ((person(astronaut) > 0.4) == (exact > 0.4)).mean() > 0.97
    if engine != "onnx":
        assert "bf" in person.runs_on


def test_a_checkpoint_is_exported_once_and_again_when_it_changes(cached, checkpoint, tmp_path):
    first = exported(checkpoint)
    stamp = first.stat().st_mtime_ns
    assert exported(checkpoint) == first and first.stat().st_mtime_ns == stamp
    assert first.is_relative_to(cached)
    model, info = load_checkpoint(checkpoint)
    model.head.bias.data += 1
    other = save_checkpoint(tmp_path / checkpoint.name, model, info)
    assert exported(other) != first


def test_an_onnx_file_is_loaded_by_its_path_and_brings_its_precision(whole, tmp_path, astronaut):
    half = export.halve(whole, tmp_path / "half.onnx")
    assert Segmenter.load(half).runs_on == f"ONNX Runtime {onnxruntime.__version__}, CPUExecutionProvider"
    assert Segmenter.load(whole, engine="openvino")(astronaut).shape == astronaut.shape[:2]
    with pytest.raises(UserError, match="is of precision half, asked for was int8"):
        Segmenter.load(half, engine="onnx", precision="int8")


def test_threads_are_what_was_asked_for(whole):
    person = Segmenter.load(whole, threads=1)
    assert person.engine.session.get_session_options().intra_op_num_threads == 1
    before = torch.get_num_threads()
    try:
        Segmenter.load("person-small", "cpu", threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


# --- nothing else runs than was asked for --------------------------------------------------------------


@cases(
    "wrong sentence",
    ({"engine": "onx"}, "engine is one of torch, onnx, openvino, tensorrt"),
    ({"engine": "onnx", "precision": "fp8"}, "precision is "),
    ({"engine": "torch", "precision": "int8"}, "does not run with torch"),
    ({"engine": "torch"}, "torch cannot run"),
    ({"engine": "onnx", "device": "tpu"}, "not on 'tpu'"),
    ({"engine": "onnx", "device": "cuda"}, "CUDAExecutionProvider is not part of this ONNX Runtime"),
    ({"engine": "tensorrt"}, "TensorrtExecutionProvider is not part of this ONNX Runtime"),
    ({"engine": "tensorrt", "device": "cpu"}, "TensorRT runs on 'cuda'"),
    ({"engine": "openvino", "device": "npu"}, "OpenVINO finds no 'npu' here"),
    ({"engine": "onnx", "threads": 0}, "from 1 to 1024, found 0"),
    ({"engine": "onnx", "threads": 100_000}, "from 1 to 1024"),
)
def test_what_cannot_run_says_so(whole, wrong, sentence):
    with pytest.raises(UserError, match=sentence):
        Segmenter.load("person-small" if wrong.get("precision") == "int8" else whole, **wrong)


@pytest.mark.parametrize("engine", [{"engine": "onnx", "device": "cuda"}, {"engine": "tensorrt"}])
def test_a_provider_that_does_not_start_is_an_error_not_a_slow_answer(whole, monkeypatch, engine):
    # ONNX Runtime itself would warn and go on with the processor.
    listed = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
    with pytest.warns(UserWarning), pytest.raises(UserError, match="could not start"):
        Segmenter.load(whole, **engine)


def test_tensorrt_is_told_the_precision_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGKIT_DATA", str(tmp_path))
    for precision in ("fp32", "half", "int8"):
        settings = tensorrt_settings(precision)
        assert settings["trt_fp16_enable"] == (precision == "half")
        assert settings["trt_int8_enable"] == (precision == "int8")
    assert (tmp_path / "tensorrt").is_dir()


@pytest.mark.skipif(
    "TensorrtExecutionProvider" not in onnxruntime.get_available_providers(),
    reason="this ONNX Runtime has no TensorRT",
)
def test_tensorrt_gives_the_answers_of_torch(whole, checkpoint, astronaut):
    person = Segmenter.load(whole, engine="tensorrt")
    assert "TensorrtExecutionProvider" in person.runs_on
    assert np.abs(person(astronaut) - Segmenter.load(checkpoint, "cpu")(astronaut)).max() < 1e-2


@cases(
    "package extra load",
    ("onnxruntime", "export", {"engine": "onnx"}),
    ("onnxscript", "export", {"engine": "onnx"}),
    ("openvino", "openvino", {"engine": "openvino"}),
)
def test_a_missing_package_is_named(checkpoint, tmp_path, monkeypatch, package, extra, load):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv("SEGKIT_DATA", str(tmp_path))
    with pytest.raises(UserError, match=rf"{package} is not installed.*segkit-course\[{extra}\]"):
        Segmenter.load(checkpoint, **load)


def test_segkit_works_without_the_extras():
    code = (
        "import sys; blocked = ('onnx', 'onnxruntime', 'onnxscript', 'openvino')\n"
        "for name in blocked: sys.modules[name] = None\n"
        "import numpy as np; from segkit import Segmenter\n"
        "print(Segmenter.load('person-small', 'cpu')(np.zeros((9, 9, 3), np.uint8)).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "(9, 9)", done.stderr


# --- the command ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "half", "int8"])
def test_export_prints_difference_and_cost(cached, checkpoint, drawn, tmp_path, command, precision):
    out = tmp_path / "person.onnx"
    looked_at = () if precision == "fp32" else ("--data", drawn)
    code, said, _ = command("export", checkpoint, "-o", out, "--precision", precision, *looked_at)
    assert code == 0
    assert said.count("largest difference from torch at") == 3
    assert read_metadata(out)["precision"] == precision
    assert (f"{precision} 0." in said and "cost" in said) == (precision != "fp32")


def test_segkit_export_makes_an_onnx_file_of_a_checkpoint(whole, tmp_path, command):
    assert "ends in .onnx" in command("export", "person-small", "-o", tmp_path / "x.pt")[2]
    assert "is an ONNX file: name the" in command("export", whole, "-o", tmp_path / "x.onnx")[2]
    out = tmp_path / "x.onnx"
    assert "leave --data out" in command("export", "person-small", "-o", out, "--data", tmp_path)[2]
    assert not out.exists()


def test_segkit_predict_takes_an_engine(cached, checkpoint, drawn, tmp_path, command):
    photo = next((drawn / "images").iterdir())
    for engine in ("onnx", "openvino", "torch"):
        how = "-o", tmp_path / engine, "--engine", engine, "--threads", 1, "--write", "mask"
        assert command("predict", photo, "-m", checkpoint, *how)[0] == 0
    masks = [(tmp_path / e / f"{photo.stem}_mask.png").read_bytes() for e in ("onnx", "openvino", "torch")]
    assert masks[0] == masks[1] == masks[2]


def test_an_engine_says_that_it_does_not_work_in_a_forked_process(cached, checkpoint, monkeypatch):
    person = Segmenter.load(checkpoint, engine="onnx")
    monkeypatch.setattr("segkit.predict.THREADED", set())
    monkeypatch.setattr("os.getpid", lambda: -1)
    refused("each process", person, np.zeros((20, 20, 3), np.uint8))


def test_an_export_replaces_nothing_unasked_and_never_its_source(tmp_path, checkpoint, command):
    there = tmp_path / "there.onnx"
    there.write_bytes(b"years of work")
    for source, more in ((checkpoint, []), (there, ["--overwrite"])):
        assert command("export", source, "-o", there, *more)[0] == 1
    assert there.read_bytes() == b"years of work"
