"""What the services are made of: jars from Maven Central, and Python packages of other people's clients from PyPI."""
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from problems import Failed

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
CACHE = Path(os.environ.get("SERVICES_CACHE", PROJECT / ".services/downloads")).resolve()
# Versions of Java that a service runs on: from, and up to but not including. Older code of Cassandra's needs a
# security manager, which Java 24 has no more.
JAVA = {"kafka": (17, 99), "registry": (17, 99), "cassandra": (17, 24)}
INSTALL = "on Debian and Ubuntu: apt install openjdk-17-jdk-headless maven python3-venv"


def java(service):
    """The Java command for a service."""
    home = os.environ.get("JAVA_HOME")
    command = (os.environ.get(f"SERVICES_JAVA_{service.upper()}") or os.environ.get("SERVICES_JAVA")
               or (f"{home}/bin/java" if home else "java"))
    low, end = JAVA[service]
    wanted = f"{service} needs Java {low}" + (f" to {end - 1}" if end < 99 else " or newer")
    if not shutil.which(command):
        raise Failed(f"there is no `{command}`: {wanted}; {INSTALL}")
    said = subprocess.run([command, "-version"], capture_output=True, text=True).stderr
    version = re.search(r'version "(?:1\.)?(\d+)', said)
    if not version or not low <= int(version[1]) < end:
        raise Failed(f"{wanted}, and `{command}` is\n{said}Name another one with SERVICES_JAVA, or install it; {INSTALL}")
    return command


@contextmanager
def made_once(name, sources):
    """A folder of the cache that is filled once. Its name follows its sources, so a new version is fetched anew; it
    appears when it is complete. Hands out the folder and, if it is to be filled, the one to fill."""
    digest = hashlib.sha256(b"".join(s.read_bytes() for s in sources)).hexdigest()[:12]
    folder = CACHE / f"{name}-{digest}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            yield folder, None
            return
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        yield folder, part
        part.rename(folder)


def jars(service):
    """The folder of a service's jars."""
    pom = HERE / service / "pom.xml"
    with made_once(service, [pom]) as (folder, part):
        if part:
            if not shutil.which("mvn"):
                raise Failed(f"there is no `mvn`, which downloads {service}; {INSTALL}")
            say(f"downloading {service} from Maven Central into {folder} (once)")
            run(["mvn", "-B", "-q", "-f", str(pom), "generate-resources", f"-Dlib={part}"])
    return folder


def clients():
    """A Python that has other people's clients of Kafka and of schema registries."""
    wanted = HERE / "clients/requirements.txt"
    with made_once("clients", [wanted]) as (folder, part):
        if part:
            say(f"downloading the packages of {wanted.relative_to(PROJECT)} from PyPI into {folder} (once)")
            run([sys.executable, "-m", "venv", str(part)])
            run([str(part / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                 "--no-deps", "--only-binary", ":all:", "--requirement", str(wanted)])
    return folder / "bin/python"


def java_client():
    """The class path of Java's own client of Kafka, with another registry's Avro serializers."""
    home = HERE / "clients/java"
    with made_once("java", [home / "pom.xml", home / "Client.java"]) as (folder, part):
        if part:
            for tool in ("mvn", "javac"):
                if not shutil.which(tool):
                    raise Failed(f"there is no `{tool}`, which makes the Java client; {INSTALL}")
            say(f"downloading the jars of {(home / 'pom.xml').relative_to(PROJECT)} from Maven Central into {folder} (once)")
            run(["mvn", "-B", "-q", "-f", str(home / "pom.xml"), "generate-resources", f"-Dlib={part}"])
            run(["javac", "-cp", f"{part}/*", "-d", f"{part}/classes", str(home / "Client.java")])
    return f"{folder}/*:{folder}/classes"


# Other people's clients, and what tells how to run each.
CLIENTS = {"clients": clients, "java": java_client}


def run(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    if done.returncode:
        raise Failed(f"`{' '.join(command)}` failed, see above; {INSTALL}")


def say(what):
    print(f"== {what}", file=sys.stderr, flush=True)
