from .io import load as load, who as who
from .values import (
    CharMatrix as CharMatrix,
    FunctionHandle as FunctionHandle,
    MatObject as MatObject,
    StructArray as StructArray,
    VariableInfo as VariableInfo,
    cell_list as cell_list,
    image_names as image_names,
    scalar as scalar,
    text as text,
    vector as vector,
)
from .write import save as save, save_objects as save_objects
