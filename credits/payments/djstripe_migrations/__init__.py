"""dj-stripe's tables as `makemigrations djstripe` writes them, without its own 40 s of history.

A new file of its own for every upgrade of dj-stripe. The first one derives from TablesAtOnce.
"""

from typing import Any

from django.db import migrations


class TablesAtOnce(migrations.Migration):
    """Makes the tables of all models when all are known, to the same effect.

    Only for a first migration: fields that it adds later are in the final models already.

    Django renders every related model anew after each operation: for 59 models that took 5 s.
    """

    def apply(self, project_state: Any, schema_editor: Any, collect_sql: bool = False) -> Any:
        project_state.__dict__.pop("apps", None)  # what was rendered: else each step renews it
        before = project_state.clone()
        state = self.mutate_state(project_state, preserve=False)
        for operation in self.operations:
            if isinstance(operation, migrations.CreateModel):
                operation.database_forwards(self.app_label, schema_editor, before, state)
        return state
