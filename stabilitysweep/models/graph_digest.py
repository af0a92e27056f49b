"""A digest of a TensorFlow graph: equal for graphs that compute the same, whatever their names.

Two models whose training graphs have one digest, the lifted numbers being inputs of both, can
be trained in one graph. Unlike a comparison of their configs it sees everything that shapes
the computation: closures, attributes of the user's own layers, losses that are functions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf


def graph_digest(concrete: Any) -> str:
    """Return the digest of a concrete function, 32 hexadecimal digits.

    Node names count for nothing, nor do the numbers that TensorFlow gives to functions; the
    operations, their attributes and constants, their order and how they are connected do,
    and so do the values of tensors that the function has captured.
    """
    graph = concrete.graph
    definition = graph.as_graph_def(add_shapes=False)
    library = {function.signature.name: function for function in definition.library.function}
    digest = hashlib.blake2b(digest_size=16)
    digest.update(_of_nodes(definition.node, library, {}))
    outputs = ",".join(
        f"{_place(definition.node, tensor.op.name)}:{tensor.value_index}"
        for tensor in tf.nest.flatten(concrete.structured_outputs, expand_composites=True)
        if tensor is not None
    )
    digest.update(outputs.encode())
    for value in captured_values(concrete):
        digest.update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
    return digest.hexdigest()


def captured_values(concrete: Any) -> list[Any]:
    """Return the tensors that a function has captured, as arrays; resources are left out."""
    return [tensor.numpy() for tensor in concrete.captured_inputs if tensor.dtype != tf.resource]


def captured_variables(concrete: Any) -> list[str]:
    """Return the names of the variables that a function reads or writes past its arguments."""
    held = {id(variable.handle): variable.name for variable in concrete.graph.variables}
    return [
        held.get(id(tensor), "a resource")
        for tensor in concrete.captured_inputs
        if tensor.dtype == tf.resource
    ]


def has_custom_gradient(concrete: Any) -> bool:
    """Whether some operation of a function has a gradient that its graph does not show."""
    definition = concrete.graph.as_graph_def(add_shapes=False)
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    return any(
        node.attr["_gradient_op_type"].s.startswith(b"CustomGradient")
        for node in nodes
        if "_gradient_op_type" in node.attr
    )


def _place(nodes: Iterable[Any], name: str) -> int:
    return next(place for place, node in enumerate(nodes) if node.name == name)


def _of_nodes(nodes: Iterable[Any], library: Mapping[str, Any], known: dict[str, bytes]) -> bytes:
    nodes = list(nodes)
    places = {node.name: place for place, node in enumerate(nodes)}
    digest = hashlib.blake2b(digest_size=16)
    for node in nodes:
        parts = [node.op]
        if node.op in library:
            parts[0] = _of_function(node.op, library, known).hex()
        for given in node.input:
            control = given.startswith("^")
            name, _, output = given.lstrip("^").partition(":")
            # An argument of a function is no node of it: it goes by its name.
            parts.append(f"{'^' * control}{places.get(name, name)}:{output}")
        digest.update("\0".join(parts).encode())
        for key in sorted(node.attr):
            if not key.startswith("_"):
                digest.update(key.encode() + _of_attribute(node.attr[key], library, known))
    return digest.digest()


def _of_attribute(value: Any, library: Mapping[str, Any], known: dict[str, bytes]) -> bytes:
    match value.WhichOneof("value"):
        case "func":
            return _of_function(value.func.name, library, known)
        case "list" if value.list.func:
            names = [function.name for function in value.list.func]
            return b"".join(_of_function(name, library, known) for name in names)
        case _:
            return bytes(value.SerializeToString(deterministic=True))


def _of_function(name: str, library: Mapping[str, Any], known: dict[str, bytes]) -> bytes:
    if name not in library:
        return name.encode()
    if name not in known:
        function = library[name]
        places = {node.name: place for place, node in enumerate(function.node_def)}
        arguments = {arg.name: place for place, arg in enumerate(function.signature.input_arg)}
        known[name] = b""  # a function that calls itself ends here
        digest = hashlib.blake2b(digest_size=16)
        digest.update(_of_nodes(_renamed(function.node_def, arguments), library, known))
        for result in function.signature.output_arg:
            source, _, output = function.ret[result.name].partition(":")
            digest.update(f"{places.get(source, arguments.get(source, -1))}:{output}".encode())
        known[name] = digest.digest()
    return known[name]


def _renamed(nodes: Iterable[Any], arguments: Mapping[str, int]) -> list[Any]:
    """The nodes of a function, its arguments called by their places."""
    renamed = []
    for node in nodes:
        copied = type(node)()
        copied.CopyFrom(node)
        for place, given in enumerate(node.input):
            name, colon, output = given.partition(":")
            if name in arguments:
                copied.input[place] = f"argument {arguments[name]}{colon}{output}"
        renamed.append(copied)
    return renamed
