"""Directives that show what the code says, so that the pages cannot fall behind it."""

from docutils import nodes
from sphinx.util.docutils import SphinxDirective


def _code(value):
    text = value if isinstance(value, str) and value.startswith("-") else repr(value)
    return nodes.literal("", text)


def _table(header, rows, widths):
    table = nodes.table(classes=["colwidths-given"])
    group = nodes.tgroup(cols=len(header))
    table += group
    group += [nodes.colspec(colwidth=width) for width in widths]

    def line(cells):
        row = nodes.row()
        for cell in cells:
            node = cell if isinstance(cell, nodes.Node) else nodes.Text(str(cell))
            row += nodes.entry("", nodes.paragraph("", "", node))
        return row

    head, body = nodes.thead(), nodes.tbody()
    head += line(header)
    body += [line(row) for row in rows]
    group += [head, body]
    return table


class PresetTable(SphinxDirective):
    """Parameters that the presets of one pipeline set, beside the defaults: ``.. presets:: name``.

    The argument is a key of ``PRESETS[...]``.
    """

    required_arguments = 1

    def run(self):
        from sklearn_dysarthria import hyper_alexnet_pipeline, sand_convnext_pipeline
        from sklearn_dysarthria.pipelines import PRESETS

        (system,) = self.arguments
        build = {"hyper_alexnet": hyper_alexnet_pipeline, "convnext": sand_convnext_pipeline}
        values = {preset: build[system](preset=preset).get_params() for preset in PRESETS}
        names = sorted({name for preset in PRESETS for name in PRESETS[preset][system]})
        rows = [
            [nodes.literal("", name), *(_code(values[preset][name]) for preset in PRESETS)]
            for name in names
        ]
        header = ["parameter", *(nodes.literal("", repr(preset)) for preset in PRESETS)]
        return [_table(header, rows, [40, *(30 for _ in PRESETS)])]


class DefaultsTable(SphinxDirective):
    """Defaults of some of a class's parameters: ``.. defaults:: ClassName name name ...``."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        import inspect

        import sklearn_dysarthria

        name, *wanted = self.arguments[0].split()
        parameters = inspect.signature(getattr(sklearn_dysarthria, name)).parameters
        rows = [[nodes.literal("", n), _code(parameters[n].default)] for n in wanted]
        return [_table(["parameter", "default"], rows, [40, 60])]


class CommandOptions(SphinxDirective):
    """Options of a command of ``sklearn-dysarthria``: ``.. command-options:: compare``."""

    required_arguments = 1

    def run(self):
        from typer.main import get_command

        from sklearn_dysarthria.cli import app

        command = get_command(app).commands[self.arguments[0]]
        rows = []
        for option in command.params:
            if option.name == "help":
                continue
            spelled = option.opts[0] if option.param_type_name == "option" else option.name.upper()
            default = option.default
            told = "" if default is None else _code(getattr(default, "value", default))
            if default is not None and not isinstance(default, (str, int, float, bool)):
                told = nodes.literal("", str(getattr(default, "value", default)))
            rows.append([nodes.literal("", spelled), told, option.help])
        return [_table(["option", "default", "meaning"], rows, [25, 20, 55])]


def setup(app):
    """Register the directives."""
    app.add_directive("presets", PresetTable)
    app.add_directive("defaults", DefaultsTable)
    app.add_directive("command-options", CommandOptions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
