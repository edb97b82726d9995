"""Work on several computers: joblib's Dask backend, made to survive the death of workers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from joblib import parallel_config
from joblib._dask import DaskDistributedBackend

if TYPE_CHECKING:
    from concurrent.futures import Future as ConcurrentFuture

    from distributed import Client, Future

__all__ = ["dask_backend"]


def dask_backend(client: Client | None = None, **options: Any) -> DaskDistributedBackend:
    """Return a joblib backend like ``"dask"`` whose work goes on when a worker dies.

    Parameters
    ----------
    client : distributed.Client, optional
        Connection to the cluster; by default the current one.
    **options
        For :meth:`distributed.Client.submit`, such as ``priority``, ``workers`` or ``resources``;
        and ``wait_for_workers_timeout``, in seconds.  Work that a task hands on, as a search inside
        a cross-validation does, has them too, except ``resources``: a task keeps its own until it
        ends, so that what it waits for could wait for them forever.  In ``workers``, give hosts:
        work that is bound to single workers is not done by those that replace them.

    Returns
    -------
    joblib.parallel.ParallelBackendBase
        To be used in ``joblib.parallel_config(backend=...)``.

    Raises
    ------
    ValueError
        Dask is not installed, or there is no current client.

    Notes
    -----
    With ``parallel_config(backend="dask")`` joblib puts every argument above 1 kB (the table, y,
    and the row numbers of each fold) into the memory of one worker.  If that worker dies, they are
    gone and the call fails; ``scatter=[X, y]`` saves the first two and not the row numbers.
    Here the scheduler keeps such arguments and hands them to any worker again.  It thus holds
    the table once while the call lasts: give paths on a shared file system, and that is little.

    A task that has been on four workers when they died (``distributed.scheduler.allowed-failures``
    is 3) is the likely cause; Dask gives it up.  joblib's own backend would then wait forever,
    this one raises :class:`distributed.KilledWorker`.

    The computer that calls ``fit`` and the scheduler must stay alive.

    Examples
    --------
    >>> import joblib
    >>> from distributed import Client  # doctest: +SKIP
    >>> from sklearn_dysarthria import dask_backend
    >>> client = Client("tcp://scheduler:8786")  # doctest: +SKIP
    >>> with joblib.parallel_config(backend=dask_backend(client)):  # doctest: +SKIP
    ...     search.fit(X, y)
    """
    return _OutlivingBackend(client=client, **options)


class _OutlivingBackend(DaskDistributedBackend):
    def __init__(self, client: Client | None = None, **options: Any) -> None:
        super().__init__(client=client, **options)
        self.handed_on = {
            **{name: value for name, value in self.submit_kwargs.items() if name != "resources"},
            "wait_for_workers_timeout": self.wait_for_workers_timeout,
        }
        self.client: Any = _KeepingClient(self.client, self.handed_on)

    def get_nested_backend(self) -> tuple[DaskDistributedBackend, int]:
        return _OutlivingBackend(client=self.client.connection, **self.handed_on), -1

    def submit(
        self, func: Any, callback: Callable[[Any], Any] | None = None
    ) -> ConcurrentFuture[Any]:
        """Submit as joblib does, and raise what Dask gave up, where joblib would wait for ever."""
        submitted = super().submit(func, callback=callback)

        def report(done: ConcurrentFuture[Any]) -> None:
            error = done.exception()
            if error is not None and callback is not None:
                callback(error)  # which joblib raises, as any exception that comes for a result

        submitted.add_done_callback(report)
        return submitted


class _KeepingClient:
    """A client as joblib uses it, except that nothing lives in the memory of a worker alone."""

    def __init__(self, connection: Client, handed_on: dict[str, Any]) -> None:
        self.connection = connection
        self.handed_on = handed_on

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def scatter(
        self, data: Any, *, asynchronous: bool = False, broadcast: bool = False, hash: bool = True
    ) -> Any:
        """Turn one argument (in joblib's event loop), or each of a list, into a future."""
        if not asynchronous:
            return [self._keep(value) for value in data]

        async def keep() -> Future:
            return self._keep(data)

        return keep()

    def _keep(self, value: Any) -> Future:
        """Make the value the result of a task, which the scheduler can have computed again."""
        import dask

        key = f"{type(value).__name__}-{uuid4().hex}"
        priority = self.handed_on.get("priority", 0)  # or tasks that need the value would wait
        # The warning about large tasks recommends what loses the value.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 PiB"}):
            return self.connection.submit(_itself, value, key=key, priority=priority)

    def submit(self, function: Any, *, tasks: Any, **options: Any) -> Future:
        """Have parallel work inside the tasks outlive workers too."""
        tasks = [
            (partial(_in_task, call, self.handed_on), args, kwargs) for call, args, kwargs in tasks
        ]
        return self.connection.submit(function, tasks=tasks, **options)


def _itself(value: Any) -> Any:
    return value


def _in_task(
    call: Callable[..., Any], options: dict[str, Any], /, *args: Any, **kwargs: Any
) -> Any:
    with parallel_config(backend=dask_backend(**options)):
        return call(*args, **kwargs)
