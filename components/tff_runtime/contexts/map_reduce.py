"""A TFF computation executed by the TensorFlow of this process, without TFF's C++ runtime.

TFF compiles a round to TensorFlow graphs (`tff.backends.mapreduce.MapReduceForm`): `prepare` makes what every silo is
told, `work` is a silo's part, `zero`, `accumulate`, `merge` and `report` add the silos up, and `update` is the server's
part. Called one by one they cost milliseconds a silo; in a loop inside one `tf.function`, tens of microseconds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

_Tensors = Sequence[tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Accumulator:
    """What is known of a round's silos so far.

    Attributes:
        prepared: What the server tells every silo.
        accumulated: The sum, or what stands for it, over the silos so far.
    """

    prepared: list[tf.Tensor]
    accumulated: list[tf.Tensor]


def initial_state(initialize: tff.Computation) -> Any:
    """Returns what a TFF computation `( -> state@SERVER)` returns."""
    compiled = tff.backends.mapreduce.get_state_initialization_computation(initialize, _graphs_as_written())
    return _pack(iter(_function(compiled)()), initialize.type_signature.result.member)


class MapReduce:
    """One computation `(state@SERVER, *values@CLIENTS) -> (state, output)@SERVER`, over any number of silos.

    The values of several silos are given as one structure of the client values' type with a leading axis of silos.
    They are accumulated in the given order, so that equal calls give equal results, unless the computation draws random
    numbers: those are drawn anew in every call and for every silo.
    """

    def __init__(self, computation: tff.Computation) -> None:
        """Compiles the computation.

        Args:
            computation: A TFF computation of the form above. State, values and output consist of tensors.

        Raises:
            TypeError: The computation has another form (raised by TFF).
            ValueError: The computation uses a secure sum, or TensorFlow variables; the message says which.
        """
        form = tff.backends.mapreduce.get_map_reduce_form_for_computation(
            _with_one_client_value(computation), _graphs_as_written()
        )
        _require_no_secure_sum(form)
        self._state_type, self._output_type = (placed.member for placed in computation.type_signature.result)
        prepared = _specs(form.prepare.type_signature.result)
        accumulated = _specs(form.accumulate.type_signature.parameter[0])
        state, silo = _specs(self._state_type), _specs(form.work.type_signature.parameter[0])
        values = [tf.TensorSpec((None, *spec.shape), spec.dtype) for spec in silo]
        graphs = _Graphs(form, [spec.shape for spec in accumulated])
        self._begin = _traced_once(graphs.begin, [state])
        self._accumulate = _traced_once(graphs.accumulate, [prepared, accumulated, values])
        self._finish = _traced_once(graphs.finish, [state, accumulated])

    def run(self, state: Any, *values: Any) -> tuple[Any, Any]:
        """Runs the computation over all silos of a round.

        Args:
            state: The server's state.
            *values: The client values, in the computation's order, each with a leading axis of silos.

        Returns:
            The new state and the output.
        """
        return self.finish(state, self.accumulate(self.begin(state), *values))

    def begin(self, state: Any) -> Accumulator:
        """Returns the accumulator of a round without silos."""
        prepared, accumulated = self._begin(_flatten(state))
        return Accumulator(list(prepared), list(accumulated))

    def accumulate(self, accumulator: Accumulator, *values: Any) -> Accumulator:
        """Returns the accumulator with a group of silos added, whose values have a leading axis of silos."""
        accumulated = self._accumulate(accumulator.prepared, accumulator.accumulated, _flatten(values))
        return Accumulator(accumulator.prepared, list(accumulated))

    def finish(self, state: Any, accumulator: Accumulator) -> tuple[Any, Any]:
        """Returns the new state and the output.

        Args:
            state: The state that the round began with.
            accumulator: The accumulator of all silos of the round.

        Returns:
            The new state and the output.
        """
        tensors = iter(self._finish(_flatten(state), accumulator.accumulated))
        return _pack(tensors, self._state_type), _pack(tensors, self._output_type)


class _Graphs:
    """The graphs of a form as functions of flat lists of tensors."""

    def __init__(self, form: tff.backends.mapreduce.MapReduceForm, accumulator: Sequence[tf.TensorShape]) -> None:
        self._prepare, self._zero = _function(form.prepare), _function(form.zero)
        self._work, self._add, self._merge = _function(form.work), _function(form.accumulate), _function(form.merge)
        self._report, self._update = _function(form.report), _function(form.update)
        self._accumulator = tuple(accumulator)

    def begin(self, state: _Tensors) -> tuple[_Tensors, _Tensors]:
        return self._prepare(*state), self._zero()

    def accumulate(self, prepared: _Tensors, accumulated: _Tensors, values: _Tensors) -> _Tensors:
        silos = tf.shape(values[0])[0]
        for value in values:
            tf.debugging.assert_equal(tf.shape(value)[0], silos, "the client values differ in their number of silos")
        # An accumulator that collects the silos' values is copied each time: groups of the square root of their number
        # keep the copies few.
        group = tf.cast(tf.math.ceil(tf.sqrt(tf.cast(silos, tf.float64))), tf.int32)

        def add_silo(silo: tf.Tensor, partial: _Tensors) -> tuple[tf.Tensor, _Tensors]:
            return silo + 1, self._add(*partial, *self._work(*[value[silo] for value in values], *prepared))

        def add_group(first: tf.Tensor, total: _Tensors) -> tuple[tf.Tensor, _Tensors]:
            end = tf.minimum(first + group, silos)
            return end, self._merge(*total, *self._loop(first, end, add_silo, self._zero()))

        return self._loop(0, silos, add_group, accumulated)

    def finish(self, state: _Tensors, accumulated: _Tensors) -> _Tensors:
        return self._update(*state, *self._report(*accumulated))

    def _loop(self, start: Any, end: Any, body: Callable[..., Any], accumulated: _Tensors) -> _Tensors:
        shapes = (tf.TensorShape([]), list(self._accumulator))
        return tf.while_loop(lambda silo, _: silo < end, body, (start, list(accumulated)), shape_invariants=shapes)[1]


def _graphs_as_written() -> tf.compat.v1.ConfigProto:
    """Returns options that keep TFF's Grappler away: TensorFlow's own sees the whole loop, and optimizes that."""
    options = tf.compat.v1.ConfigProto()
    options.graph_options.rewrite_options.disable_meta_optimizer = True
    return options


def _traced_once(function: Callable[..., Any], signature: Sequence[Any]) -> Callable[..., Any]:
    return tf.function(function, input_signature=signature, autograph=False)


def _with_one_client_value(computation: tff.Computation) -> tff.Computation:
    """Returns the computation with its client values as one tuple, as the form needs them."""
    state_type, *value_types = computation.type_signature.parameter

    @tff.federated_computation(state_type, tff.FederatedType([value.member for value in value_types], tff.CLIENTS))
    def with_one_client_value(state: Any, values: Any) -> Any:
        return computation(state, *[values[position] for position in range(len(value_types))])

    return with_one_client_value


def _require_no_secure_sum(form: tff.backends.mapreduce.MapReduceForm) -> None:
    _, *secure_sums = form.work.type_signature.result
    if any(_specs(secure_sum) for secure_sum in secure_sums):
        raise ValueError(
            "the computation uses a secure sum, which needs a protocol of several parties; take a plain sum"
        )


def _function(computation: tff.Computation) -> Callable[..., list[tf.Tensor]]:
    """Returns a TensorFlow computation of TFF as a function of flat tensors to flat tensors."""
    tensorflow = tff.framework.serialize_computation(computation).tensorflow
    if tensorflow.initialize_op:
        raise ValueError("the computation makes TensorFlow variables or tables; keep its state in the server's state")
    graph_def = tf.compat.v1.GraphDef()
    tensorflow.graph_def.Unpack(graph_def)
    imported = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph_def, name=""), [])
    feeds = [imported.graph.get_tensor_by_name(name) for name in _tensor_names(tensorflow.parameter)]
    fetches = [imported.graph.get_tensor_by_name(name) for name in _tensor_names(tensorflow.result)]
    return imported.prune(feeds, fetches)


def _tensor_names(binding: Any) -> list[str]:
    if binding.WhichOneof("binding") == "tensor":
        return [binding.tensor.tensor_name]
    return [name for element in binding.struct.element for name in _tensor_names(element)]


def _specs(type_: tff.Type) -> list[tf.TensorSpec]:
    return [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in tff.structure.flatten(type_)]


def _flatten(value: Any) -> list[Any]:
    # Not tf.nest: it sorts the keys of a mapping, and TFF keeps their order.
    return tff.structure.flatten(tff.structure.from_container([value], recursive=True))


def _pack(tensors: Iterator[tf.Tensor], type_: tff.Type) -> Any:
    return tff.types.structure_from_tensor_type_tree(lambda _: next(tensors), type_)
