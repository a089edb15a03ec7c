"""A TFF worker at an address, as a TFF context that never waits longer than it is told to.

TFF's own contexts wait for a worker for ever, and repeat a call in silence when its worker was lost. They also upload a
computation with every call, and keep one executor for each number of clients: each compiles the computation anew. Here
every client is a call of its own, so that one executor serves any number of them, and a computation is uploaded once.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import tensorflow_federated as tff

from tff_runtime import error_text
from tff_runtime import job as job_lib

# No limit on the size of a message but that of gRPC itself; a connection of its own for each channel, so that a new
# channel shows whether a worker answers anew; and no longer pauses between attempts to connect than this.
_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_reconnect_backoff_ms", 5000),
)
# The connection is broken, there was no answer in time, or the worker knows nothing of us: it was started again.
_LOST_CODES = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.FAILED_PRECONDITION,
)
_CLOSE_SECONDS = 2.0
_PAUSE_SECONDS = 0.5


class WorkerLostError(Exception):
    """A worker is not there, does not answer in time, or was started again."""


class Compiler:
    """TFF's compiler for its C++ runtime, which compiles a computation once for all workers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._compiled: dict[tff.Computation, tff.Computation] = {}

    def __call__(self, computation: tff.Computation) -> tff.Computation:
        """Returns the computation as workers execute it."""
        with self._lock:
            if computation not in self._compiled:
                self._compiled[computation] = tff.backends.native.desugar_and_transform_to_native(computation)
            return self._compiled[computation]


class Worker(tff.framework.SyncContext):
    """Executes computations `(*values@SERVER, {value}@CLIENTS) -> {result}@CLIENTS`, for one caller at a time.

    Attributes:
        address: `host:port` of the worker.
        is_connected: Whether it may be used: it was connected, and not lost since.
    """

    def __init__(self, address: str, compiler: Callable[[tff.Computation], tff.Computation]) -> None:
        """Begins to look for the worker, and goes on until it answers or `close` is called."""
        self.address = address
        self._compiler = compiler
        self._look()

    def _look(self) -> None:
        self.is_connected = False
        self._channel = grpc.insecure_channel(self.address, _CHANNEL_OPTIONS)
        self._calls = _Calls(self._channel)
        # Values are forgotten one by one: by default, as many as 19 copies of the model would stay at the worker.
        self._executor = tff.framework.RemoteExecutor(
            tff.framework.RemoteExecutorGrpcStub(self._calls), dispose_batch_size=1
        )
        self._uploaded: dict[tff.Computation, Any] = {}
        self._knock()

    def _knock(self) -> None:
        # A worker has no health check, but it says so.
        self._answer = self._channel.unary_unary("/grpc.health.v1.Health/Check").future(b"", wait_for_ready=True)

    def has_answered(self) -> bool:
        """Returns at once whether a lost worker has answered; if not, it is asked again."""
        if not self._answer.done():
            return False
        if self._answer.code() in (grpc.StatusCode.OK, grpc.StatusCode.UNIMPLEMENTED):
            return True
        self._knock()
        return False

    def connect(self, seconds: float) -> None:
        """Waits for the worker.

        Args:
            seconds: For how long.

        Raises:
            WorkerLostError: It did not answer.
        """
        self._calls.end_in(seconds, wait_for_ready=True)
        while not self.is_connected:
            try:
                self._executor.set_cardinalities({tff.CLIENTS: 1})
                self.is_connected = True
            except grpc.RpcError as error:
                # A proxy, such as the sidecar of a service mesh, answers for a worker that is not there yet.
                if error.code() != grpc.StatusCode.UNAVAILABLE or not self._calls.seconds_left:
                    self._look_again()
                    raise WorkerLostError(_reason(error, seconds)) from None
                time.sleep(_PAUSE_SECONDS)

    def run(self, function: Callable[[], Any], seconds: float) -> Any:
        """Returns `function()`, whose TFF computations are executed by the worker.

        Args:
            function: What to run, in this thread.
            seconds: How long all its calls may take.

        Raises:
            WorkerLostError: The worker was lost; it has to be connected anew.
            JobError: The worker could not execute a computation.
        """
        self._calls.end_in(seconds)
        try:
            with tff.framework.get_context_stack().install(self):
                return function()
        except grpc.RpcError as error:
            if error.code() not in _LOST_CODES:
                details = error_text.without_numbers(error.details())
                raise job_lib.JobError("Worker", f"worker {self.address}: {details}") from None
            self._look_again()
            raise WorkerLostError(_reason(error, seconds)) from None

    def close(self) -> None:
        """Lets the worker forget what it was given, and breaks the connection with every call that still waits."""
        if self.is_connected:
            self._calls.end_in(_CLOSE_SECONDS)
        self._disconnect()

    def _look_again(self) -> None:
        self._disconnect()
        self._look()

    def _disconnect(self) -> None:
        self.is_connected = False
        self._executor.close()
        self._channel.close()

    def invoke(self, comp: tff.Computation, arg: Any) -> list[Any]:
        """Returns the result of each client; called by TFF."""
        return asyncio.run(self._invoke(comp, tff.structure.to_elements(arg)))

    async def _invoke(self, computation: tff.Computation, arguments: Sequence[tuple[str | None, Any]]) -> list[Any]:
        types = [type_ for _, type_ in tff.structure.to_elements(computation.type_signature.parameter)]
        values = [tff.tensorflow.transform_args(value) for _, value in arguments]
        function = await self._function(computation)
        shared = [await self._value(value, type_) for value, type_ in zip(values[:-1], types[:-1], strict=True)]
        calls = []
        for client in values[-1]:
            argument = await self._executor.create_struct([*shared, await self._value([client], types[-1])])
            # The worker computes from here on, and many calls at a time.
            calls.append(await self._executor.create_call(function, argument))
        member = computation.type_signature.result.member
        return [_as_container((await call.compute())[0], member) for call in calls]

    async def _function(self, computation: tff.Computation) -> Any:
        if computation not in self._uploaded:
            compiled = self._compiler(computation)
            self._uploaded[computation] = await self._value(compiled, compiled.type_signature)
        return self._uploaded[computation]

    async def _value(self, value: Any, type_: tff.Type) -> Any:
        return await self._executor.create_value(value, type_)


class _Calls:
    """What TFF's stub calls a worker by: a channel that gives all calls a common end, which the stub does not."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self._end = math.inf
        self._wait_for_ready = False

    def end_in(self, seconds: float, wait_for_ready: bool = False) -> None:
        self._end = time.monotonic() + seconds
        self._wait_for_ready = wait_for_ready

    @property
    def seconds_left(self) -> float:
        return max(self._end - time.monotonic(), 0.0)

    def subscribe(self, *_: Any, **__: Any) -> None:
        """Does nothing: the stub would watch the connection, in a thread that stumbles when the channel is closed."""

    def unary_unary(self, *arguments: Any, **keywords: Any) -> Callable[[Any], Any]:
        call = self._channel.unary_unary(*arguments, **keywords)
        return lambda request: call(request, timeout=self.seconds_left, wait_for_ready=self._wait_for_ready)


def _reason(error: grpc.RpcError, seconds: float) -> str:
    if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"no answer within {seconds:g} s"
    if error.code() == grpc.StatusCode.FAILED_PRECONDITION:
        return "it was started again"
    return str(error.details())


def _as_container(value: Any, type_: tff.Type) -> Any:
    tensors = iter(tff.structure.flatten(value))
    return tff.types.structure_from_tensor_type_tree(lambda _: next(tensors), type_)
