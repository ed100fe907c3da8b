"""The original's functions that `deepibl.migrate.originals` has: kinds of their arguments and outputs.

A kind says how a value is converted between a script and the library (see `originals`), and what the
translator knows of it.
"""

_TABLE = """
setup relja_progress relja_display relja_displayDateTime convertPngtoJPG: ->
plotResults: plain plain plain plain ->
serialAllFeats relja_netSave: net ->
saveNet: net plain plain plain ->
localPaths: -> paths
loadNet: -> net
addLayers addPCA netPrepareForTest relja_cropToLayer relja_swapLayersForEfficiency: net -> net
relja_simplenn_move vl_simplenn_move relja_simplenn_tidy vl_simplenn_tidy: net -> net
netPrepareForTrain: net layer -> net
relja_whichLayer: net -> id
relja_layerNames relja_layerTypes: net -> texts
relja_netOutputDim: net -> int row
cleanup relja_dir: -> texts
relja_randomHex relja_expandUser relja_hrminsec: -> text
relja_startsWith relja_endsWith vl_simplenn smooth dbBase closePosition: -> any
trainGaussKernalInd trainGaussKernalJoint trainCauchyKernelInd trainCauchyKernelJoint: -> any
trainExpKernalInd trainExpKernalJoint trainWeakly: -> any
vl_simplenn_display recallAtN relja_retrievalMAP relja_makeBuffer: -> any any
dbPitts dbTokyo247 dbTokyoTimeMachine dbTiny dbSf0 dbVGG dbHolidays: -> object
vl_argparse: -> struct any
vl_imreadjpeg: -> cell
computeRepresentation: net image -> column
yael_kmeans relja_l2normalize_col: features -> features
rawNnSearch yael_nn: features features -> ids features
testCore: any features features -> column matrix
testCoreRank: any features features -> number matrix
testFromFn: -> column number matrix struct
getBestEpoch: matrix -> any
pickBestNet: -> int net
relja_PCA: features -> matrix column column column
"""
# name -> kinds of its first arguments, kinds of its outputs
FUNCTIONS: dict[str, tuple[list[str], list[str]]] = {
    name: (kinds.partition("->")[0].split(), kinds.partition("->")[2].split())
    for names, _, kinds in (line.partition(":") for line in _TABLE.strip().splitlines())
    for name in names.split()
}
_KNOWN = {
    "net": "struct",
    "texts": "cell",
    **dict.fromkeys(("number", "features", "ids", "column", "matrix"), "num"),
    **dict.fromkeys(("id", "row"), "any"),
}


def output_kinds(name: str) -> list[str]:
    """What the translator knows of the outputs: their kinds of `deepibl.migrate.scope`."""
    return [_KNOWN.get(kind, kind) for kind in FUNCTIONS[name][1]]


def words(text: str) -> set[str]:
    """The words of a string."""
    return set(text.split())
