"""The digest of a tensor, against a reference in plain Python, in every kind of tensor and mode of torch.

The reference is digest_reference.py; triton_interpreted.py runs the GPU kernel in an interpreter, by hand.
"""

from __future__ import annotations

import itertools
import os
import struct
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import tries
from support.programs import load_program, ran
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from orchestrator.payload.tensor_digest import digest_definition, torch_engine
from orchestrator.payload.tensor_digest import digester as digesters
from orchestrator.payload.tensor_digest.digester import Digester, capturing, describe, to_ints

reference = load_program(Path(__file__).with_name("digest_reference.py"))
NAMES = """
bool uint8 int8 uint16 int16 uint32 int32 uint64 int64 float16 bfloat16 float32 float64 complex32 complex64
complex128 float8_e4m3fn float8_e5m2 float8_e8m0fnu float8_e4m3fnuz
"""
DTYPES = [getattr(torch, name) for name in NAMES.split()]


@pytest.fixture(scope="module")
def digester() -> Digester:
    return Digester(torch)


def ints(*tensors: Any) -> list[int | None]:
    return to_ints(Digester(torch).digest(list(tensors)))


def random_bits(count: int, dtype: torch.dtype, seed: int = 1) -> torch.Tensor:
    """Elements of random bits: NaNs with payloads, infinities, denormals and all."""
    generator = torch.Generator().manual_seed(seed)
    data = torch.randint(0, 256, (count * dtype.itemsize,), dtype=torch.uint8, generator=generator)
    return (data % 2 if dtype == torch.bool else data).view(dtype)


def expected(tensor: torch.Tensor) -> int:
    return int(reference.digest(reference.content(tensor)))


def test_the_numbers_are_these_for_ever() -> None:
    """A failure here means a new specification: records made with the old one can no longer be compared."""
    tensors = [
        torch.empty(0),
        torch.zeros(()),
        torch.ones(2),
        torch.ones(4),
        torch.arange(1000, dtype=torch.int64),
        torch.arange(100_000, dtype=torch.int32),
        torch.arange(7, dtype=torch.uint8),
        torch.tensor([1.0, -2.5, float("inf"), float("nan")], dtype=torch.bfloat16),
    ]
    assert ints(*tensors) == GOLDEN
    assert [expected(tensor) for tensor in tensors] == GOLDEN


GOLDEN = [
    0x8209B480FAED1B10,
    0x5E6C0EBD85CFB656,
    0xA4DFF7D046DF5F00,
    0x95D8E777BEF14977,
    0x1FD1146911FC8484,
    0x764CF0D1AC72EBE7,
    0xE9281D9EE3530619,
    0xB0AA1191556695B6,
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_at_every_kind_of_length(digester: Digester, dtype: torch.dtype) -> None:
    size = dtype.itemsize
    counts = [0, 1, 2, 3, 7, 2048 // size - 1, 2048 // size, 2048 // size + 1]
    counts += [torch_engine.SMALL // size + more for more in (-1, 0, 1, 259)]
    tensors = [random_bits(count, dtype, seed) for seed, count in enumerate(counts)]
    tensors += [random_bits(1, dtype).view(())]
    assert to_ints(digester.digest(tensors)) == [expected(tensor) for tensor in tensors]
    assert not digester.notes


@st.composite
def strided(draw: st.DrawFn) -> torch.Tensor:
    """A view of random bits: any sizes, transposed, stepped, expanded, at any offset."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 9), max_size=3))
    wide = draw(st.sampled_from([1, 1, 1, 700]))
    steps = [draw(st.integers(1, 3)) for _ in shape]
    offset = draw(st.integers(0, 9))
    sizes = [size * step for size, step in zip(shape, steps, strict=True)]
    if sizes:
        sizes[-1] *= wide
    count = 1
    for size in sizes:
        count *= size
    tensor = random_bits(count + offset, dtype, draw(st.integers(0, 99)))[offset:].view(sizes)
    tensor = tensor[tuple(slice(None, None, step) for step in steps)]
    if sizes:
        tensor = tensor.permute(draw(st.permutations(range(len(sizes)))))
    if draw(st.booleans()):
        tensor = tensor.unsqueeze(0).expand(draw(st.integers(0, 3)), *tensor.shape)
    if tensor.is_complex() and dtype != torch.complex32 and draw(st.booleans()):
        tensor = tensor.conj()
        tensor = tensor.imag if draw(st.booleans()) else tensor
    return tensor


@settings(max_examples=tries(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tensors=st.lists(strided(), max_size=6))
def test_any_list_of_views(digester: Digester, tensors: list[torch.Tensor]) -> None:
    assert to_ints(digester.digest(tensors)) == [expected(tensor) for tensor in tensors]
    assert not digester.notes


def test_large_tensors_among_small_ones(digester: Digester) -> None:
    """Longer than a block, at offsets that are no multiple of eight; more small ones than one copy takes."""
    large = random_bits(400_000, torch.float32)
    tensors = [large, large[1:], large[3:200_000], large[::2], large[:9], large.view(400, 1000).t()]
    tensors += [random_bits(20, torch.float64, seed) for seed in range(1200)]
    assert to_ints(digester.digest(tensors)) == [expected(tensor) for tensor in tensors]


def test_the_order_of_a_list_does_not_matter(digester: Digester) -> None:
    tensors = [random_bits(count, torch.float32, count) for count in (5, 20_000, 64, 0, 9_000)]
    found = to_ints(digester.digest(tensors))
    assert to_ints(digester.digest(tensors[::-1])) == found[::-1]
    assert [to_ints(digester.digest([tensor]))[0] for tensor in tensors] == found
    assert digester.digest([]) == []


def test_every_flipped_bit_is_seen(digester: Digester) -> None:
    words = random_bits(260, torch.int64)  # into the second row
    places = [*range(20), *range(250, 260)]
    flipped = words.repeat(len(places) * 64, 1)
    for number, tensor in enumerate(flipped):
        tensor[places[number // 64]] ^= digest_definition.signed(1 << number % 64)
    found = to_ints(digester.digest([words, *flipped]))
    assert len(set(found)) == len(places) * 64 + 1


def test_no_two_flipped_bits_of_a_row_cancel() -> None:
    """All of them, for any content: what one flip can change the sum by is never what another can.

    By bit, the differences in fold(x): the low half wraps or does not, the sign reaches both halves.
    """
    differences = set()
    for bit in range(64):
        low = bit if bit < 32 else bit - 35
        high = (1 << bit if bit >= 32 else 0) - (1 << 32 if bit == 63 else 0)
        lows = [0] if low < 0 else [1 << low, (1 << low) - (1 << 32)]
        if bit == 63:
            lows = [-number for number in lows]
        differences |= {sign * (high + number) % (1 << 64) for sign in (1, -1) for number in lows}
    changes: dict[int, int] = {}
    for index, weight in enumerate(digest_definition.weights()):
        assert weight % 2
        for difference in differences:
            change = weight * difference % (1 << 64)
            assert change
            assert changes.setdefault(change, index) == index
    for x in random_bits(50, torch.int64, 5).tolist():  # the differences above are the real ones
        for bit in range(64):
            other = digest_definition.signed((x % (1 << 64)) ^ (1 << bit))
            assert (reference.fold(other) - reference.fold(x)) % (1 << 64) in differences


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_flipped_signs_are_seen(digester: Digester, dtype: torch.dtype) -> None:
    """Two in one row, two in different rows, all of them: a product mod 2^64 alone sees few of these."""
    plain = torch.randn(1500, generator=torch.Generator().manual_seed(0)).to(dtype)
    pairs = [
        *itertools.combinations(range(40), 2),
        *((i, j) for i in range(9) for j in range(1000, 1400, 7)),
    ]
    flipped = [plain.clone() for _ in pairs]
    for tensor, (i, j) in zip(flipped, pairs, strict=True):
        tensor[i] = -tensor[i]
        tensor[j] = -tensor[j]
    found = to_ints(digester.digest([plain, -plain, *flipped]))
    assert len(set(found)) == len(found)


def test_the_specification_before_this_one_lost_signs() -> None:
    """Why fold comes before the product (it was after): half of all pairs of signs cancelled."""

    def old(values: list[float]) -> int:
        words = struct.unpack(f"<{len(values)}Q", struct.pack(f"<{len(values)}d", *values))
        products = [
            weight * word % (1 << 64)
            for weight, word in zip(digest_definition.weights(), words, strict=False)
        ]
        return sum(product ^ product >> 32 for product in products) % (1 << 64)

    values = [float(number) * 0.7 + 0.1 for number in range(40)]
    lost = sum(
        old([-value if at in pair else value for at, value in enumerate(values)]) == old(values)
        for pair in itertools.combinations(range(40), 2)
    )
    assert 300 < lost < 480  # of 780


def test_order_length_and_duplicates_are_seen(digester: Digester) -> None:
    plain = torch.arange(1.0, 3001.0)
    rows = plain.view(-1, 500)  # not a multiple of a row's 512, on purpose
    swapped = plain.clone()
    swapped[[10, 11]] = swapped[[11, 10]]
    far = plain.clone()
    far[[10, 522]] = far[[522, 10]]  # the same place of another row
    tensors = [plain, swapped, far, plain.flip(0), rows[[1, 0, 2, 3, 4, 5]], plain.roll(512), plain.roll(2)]
    tensors += [torch.ones(count) for count in (1, 2, 4, 512, 1024)]
    tensors += [torch.zeros(count) for count in (0, 1, 2, 512, 1024)]
    tensors += [255 - torch.arange(64, dtype=torch.uint8), torch.arange(64, dtype=torch.uint8)]
    found = to_ints(digester.digest(tensors))
    assert len(set(found)) == len(found)


SCRIPT = """
import sys, torch
from orchestrator.payload.tensor_digest.digester import Digester, to_ints
digester = Digester(torch)
data = torch.arange(600_000, dtype=torch.int64) * 0x9E3779B97F4A7C1
for threads in (1, 2, 4):
    torch.set_num_threads(threads)
    tensors = [data, data[1:70_000], data.view(torch.uint8)[3:1_000_000], *data[:64_000].split(64)]
    numbers = to_ints(digester.digest(tensors))
    print(torch.backends.cpu.get_cpu_capability(), hash(tuple(numbers)), file=sys.stderr)
    print(numbers)
"""


@pytest.mark.slow
def test_threads_and_instruction_sets_do_not_matter() -> None:
    found = set()
    for capability in (None, "default", "avx2"):
        env = {name: value for name, value in os.environ.items() if name != "ATEN_CPU_CAPABILITY"}
        env |= {"ATEN_CPU_CAPABILITY": capability} if capability else {}
        done = ran(sys.executable, "-c", SCRIPT, env=env)
        if capability:
            assert done.stderr.startswith(capability.upper()), done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) == 3
        found |= set(lines)
    assert len(found) == 1


class Wrapper(torch.Tensor):
    """As a user's own: data of no storage, operations in Python."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Wrapper:
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError("an operation on it")


def opaque() -> Iterator[tuple[str, Any]]:
    from torch._subclasses.fake_tensor import FakeTensorMode

    dense = torch.eye(3)
    yield "no tensor", None
    yield "a number", 3.0
    yield "meta", torch.empty(3, device="meta")
    yield "fake", FakeTensorMode().from_tensor(dense)
    yield "wrapper", Wrapper(dense)
    yield "efficient zero", torch._efficientzerotensor((3,))
    yield "functional", torch._to_functional_tensor(dense)
    freed = torch.ones(3)
    freed.untyped_storage().resize_(0)
    yield "freed", freed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield "coo", dense.to_sparse()
        yield "csr", dense.to_sparse_csr()
        yield "quantized", torch.quantize_per_tensor(dense, 0.1, 0, torch.qint8)
        yield "nested strided", torch.nested.nested_tensor([dense, dense[:1]])
        yield "nested jagged", torch.nested.nested_tensor([dense, dense[:1]], layout=torch.jagged)
    yield "mkldnn", dense.to_mkldnn()


def test_what_has_no_bytes_is_none_and_takes_nothing_with_it() -> None:
    plain = torch.arange(5.0)
    for name, tensor in opaque():
        digester = Digester(torch)
        found = to_ints(digester.digest([plain, tensor, plain]))
        assert found == [expected(plain), None, expected(plain)], name
        assert not digester.notes, name


def test_a_tensor_that_torch_cannot_read_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """No such tensor is known; the failure is put in."""

    def failing(torch: Any, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype == torch.int16:
            raise RuntimeError("cannot be read")
        return tensor.flatten()

    monkeypatch.setattr(torch_engine, "flattened", failing)
    digester = Digester(torch)
    plain = torch.arange(5.0)
    found = to_ints(digester.digest([plain, torch.ones(2, dtype=torch.int16), plain]))
    assert found == [expected(plain), None, expected(plain)]
    assert digester.notes == ["no digest of int16[2] on cpu: RuntimeError: cannot be read"]


def test_subclasses_that_are_plain_inside() -> None:
    class Named(torch.Tensor):
        pass

    plain = torch.randn(8, 3)
    views = [
        torch.nn.Parameter(plain),
        plain.as_subclass(Named),
        torch.nn.Buffer(plain),
        plain.requires_grad_(),
    ]
    assert set(ints(*views)) == {expected(plain)}


def test_inside_a_function_transform(digester: Digester) -> None:
    """What vmap and grad wrap has no bytes of its own; a weight beside it has."""
    weight = torch.arange(6.0)
    seen: list[Any] = []

    def inner(x: torch.Tensor) -> torch.Tensor:
        seen.append(to_ints(digester.digest([x, weight])))
        return (x * weight).sum()

    torch.func.vmap(inner)(torch.ones(4, 6))
    torch.func.grad(inner)(torch.ones(6))
    torch.func.vmap(torch.func.grad(inner))(torch.ones(4, 6))
    assert seen == [[None, expected(weight)]] * 3


class Seen(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls.append(func)
        return func(*args, **(kwargs or {}))


class SeenFunctions(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls.append(func)
        return func(*args, **(kwargs or {}))


def test_modes_do_not_see_it() -> None:
    """A new digester each time: its set-up is as unseen as its work."""
    from torch.utils._debug_mode import DebugMode

    plain = torch.randn(20_000)
    conjugated = torch.randn(50, dtype=torch.complex64).conj()
    wanted = [expected(plain), expected(conjugated)]
    with Seen() as dispatched:
        assert ints(plain, conjugated) == wanted
        assert not dispatched.calls
        torch.add(1, plain)
        assert dispatched.calls  # it does see others
    with SeenFunctions() as functions:
        digester = Digester(torch)
        digests = digester.digest([plain, conjugated])
        assert [call for call in functions.calls if "inference_mode" not in str(call)] == []
    assert to_ints(digests) == wanted
    with DebugMode() as debug:
        assert ints(plain, conjugated) == wanted
    assert "aten::" not in debug.debug_string()


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_a_default_device_and_dtype_change_nothing(device: str) -> None:
    plain = torch.randn(20_000)
    wanted = expected(plain)
    try:
        torch.set_default_device(device)
        torch.set_default_dtype(torch.float64)
        assert ints(plain) == [wanted]
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)


def test_inference_mode_and_normal_mode_in_turn() -> None:
    digester = Digester(torch)
    with torch.inference_mode():
        inside = torch.ones(20_000)
        first = digester.digest([inside])
    outside = torch.ones(20_000, requires_grad=True)
    second = digester.digest([outside, inside])
    with torch.inference_mode():
        third = digester.digest([inside, outside])
    assert set(to_ints([*first, *second, *third])) == {expected(inside)}
    assert not any(digest.is_inference() or digest.requires_grad for digest in [*first, *second, *third])
    assert not digester.notes


def test_autograd_autocast_and_strict_mode_do_not_notice() -> None:
    digester = Digester(torch)
    weight = torch.randn(300, 300, requires_grad=True)
    loss = (weight * weight).sum()
    version = weight._version
    torch.use_deterministic_algorithms(True)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16), warnings.catch_warnings():
            warnings.simplefilter("error")
            found = digester.digest([weight, weight.t()])
    finally:
        torch.use_deterministic_algorithms(False)
    loss.backward()
    assert weight._version == version
    assert to_ints(found) == [expected(weight), expected(weight.t())]
    assert all(
        digest.dtype == torch.int64 and digest.dim() == 0 and not digest.requires_grad for digest in found
    )
    assert weight.grad is not None and torch.equal(weight.grad, 2 * weight.detach())


def test_no_random_number_is_drawn() -> None:
    import random

    tensor = torch.ones(20_000)
    before = torch.get_rng_state(), random.getstate()
    ints(tensor)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


def test_digests_outlive_later_calls() -> None:
    digester = Digester(torch)
    tensor = torch.zeros(20_000)
    kept = []
    wanted = []
    for step in range(3):
        tensor += step + 1
        kept += digester.digest([tensor])
        wanted.append(expected(tensor))
    assert to_ints(kept) == wanted


def test_from_several_threads() -> None:
    from concurrent.futures import ThreadPoolExecutor

    digester = Digester(torch)
    tensors = [random_bits(30_000 + number, torch.float32, number) for number in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda tensor: to_ints(digester.digest([tensor]))[0], tensors * 4))
    assert found == [expected(tensor) for tensor in tensors] * 4


def test_more_lists_than_are_remembered() -> None:
    digester = Digester(torch)
    for count in range(torch_engine.LAYOUTS + 3):
        tensor = torch.ones(count)
        assert to_ints(digester.digest([tensor])) == [expected(tensor)]


def test_describe() -> None:
    assert describe(torch.empty(64, 3, 3)) == "float32[64,3,3]"
    assert describe(torch.tensor(1)) == "int64[]"
    assert describe(torch.empty(0, 2, dtype=torch.bfloat16)) == "bfloat16[0,2]"


def test_to_ints_keeps_places_and_has_no_sign() -> None:
    assert to_ints([]) == []
    assert to_ints([None, torch.tensor(-1), None, torch.tensor(5)]) == [None, (1 << 64) - 1, None, 5]


def test_nothing_is_captured_on_a_cpu() -> None:
    assert capturing(torch) is False


def test_a_gpu_without_triton_has_torch_operations_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that another device does but the device: its engine is asked to work on a CPU's tensors."""
    monkeypatch.setitem(sys.modules, "triton", None)
    device = torch.device("cuda", 0)
    real = torch_engine.TorchEngine(torch, torch.device("cpu"))
    real._cpu = False  # no buffers, no bmm
    monkeypatch.setattr(digesters, "TorchEngine", lambda torch, device: real)
    digester = Digester(torch)
    engine = digester._engine(device)
    tensors = [random_bits(count, torch.float32, count) for count in (0, 5, 40_000, 64)]
    assert to_ints(engine.digest(tensors)) == [expected(tensor) for tensor in tensors]
    (note,) = digester.notes
    assert note.startswith("cuda:0: digests by torch operations, no fused kernel: ModuleNotFoundError")


@pytest.mark.gpu
def test_the_fused_kernel_on_a_gpu() -> None:
    """NaNs, all lengths and views, with the kernel compiled; the note says why where it is not used."""
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    digester = Digester(torch)
    tensors = [
        random_bits(count, torch.float32, count).cuda() for count in (0, 1, 511, 513, 40_000, 3_000_000)
    ]
    tensors += [tensors[-1][1:], tensors[-1].view(1000, -1).t()]
    assert to_ints(digester.digest(tensors)) == [expected(tensor) for tensor in tensors]
    assert not digester.notes
