"""What a plan consists of, as TensorRT's engine inspector tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engines.build_remedies import explained
from export.errors import BackendError

if TYPE_CHECKING:
    from engines.tensorrt_module import MessageLog


def layers_json(trt: Any, log: MessageLog, plan: bytes) -> str:
    """Returns the inspector's JSON about the layers of a plan that was built in this process, at its typical batch.

    Without input shapes, the types of layers of a dynamic network are not told.

    Raises:
        BackendError: The plan cannot be loaded here.
    """
    told = len(log.errors)
    try:
        engine = trt.Runtime(log).deserialize_cuda_engine(plan)
    except TypeError:  # what pybind11 raises where no runtime can be made; the plan that was built is good all the same
        engine = None
    context = engine.create_execution_context() if engine is not None else None
    if context is None:
        raise BackendError(explained("the plan cannot be loaded to inspect its layers", log.errors[told:]))
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT:
            _, typical, _ = engine.get_tensor_profile_shape(name, 0)
            context.set_input_shape(name, typical)
    inspector = engine.create_engine_inspector()
    inspector.execution_context = context
    return str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
