"""Link every way to write a public name to the one page that describes it.

The package re-exports its public names, and the reference describes them there:
``sklearn_dysarthria.EnergyVAD``.  Docstrings may also call it by its home,
``sklearn_dysarthria.preprocessing.EnergyVAD``, or by its bare name.
"""

PACKAGE = "sklearn_dysarthria"
DESCRIBED_IN = (PACKAGE, f"{PACKAGE}.nn", f"{PACKAGE}.report", f"{PACKAGE}.exceptions")


def resolve(app, env, node, contnode):
    """Look a name that Sphinx does not know up where the reference describes names."""
    if node.get("refdomain") != "py":
        return None
    parts = node["reftarget"].split(".")
    if parts[0] == PACKAGE:
        # Without the package and the module in it: EnergyVAD, or EnergyVAD.transform.
        parts = parts[2:] if len(parts) > 2 else parts[1:]
    elif len(parts) > 1 and parts[0].islower():
        return None  # another library
    for module in DESCRIBED_IN:
        found = env.domains.python_domain.resolve_xref(
            env, node["refdoc"], app.builder, "obj", ".".join([module, *parts]), node, contnode
        )
        if found is not None:
            return found
    return None


def setup(app):
    """Register the resolver."""
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
