"""The checks, made from outside of the containers: one line each."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

T = TypeVar("T")

FOLDER, PROGRAM = Path(sys.argv[1]), sys.argv[2]
PROJECT = Path(__file__).parents[2]

ADDRESS, MOVED, PORT, TLS_PORT = "192.0.2.10", "192.0.2.11", 9297, 9443
VERSION_6 = "[2001:db8::10]"
NAME = "The door"
LARGEST_EXPOSURE = 1.6
PATIENCE = 60.0
"""Seconds to wait for what must happen eventually, even on a busy computer."""

SERVICE = "face-appliance"
SETTINGS = "/etc/face-appliance/appliance.toml"

NOTICED = 1.5
"""Seconds within which a running device notices changed keys. No request is sent meanwhile, because wrong keys are counted."""

RESTART = 133
"""Exit status of systemd-nspawn when the container wants to begin again."""

PRINTED = {
    "status": ("docs/operate.md", "systemctl status"),
    "settings": ("docs/install.md", "sudo systemctl restart face-appliance\n"),
    "certificate": ("docs/install.md", "sudo systemctl restart face-appliance face-appliance-tls\n"),
    "backup": ("docs/operate.md", "sudo systemctl stop"),
    "seal": ("docs/door.md", "sudo systemd-creds"),
    "sealed": ("docs/door.md", "sudo systemd-run"),
    "webhook": ("docs/door.md", "sudo sh -c 'umask 077; echo"),
}
"""Blocks of the pages that run here as printed: page, and how the block begins."""

failures = 0


@contextmanager
def check(title: str, log: Callable[[], str] | None = None) -> Iterator[list[str]]:
    """Prints how the block went; what it appends to the list is printed as well."""
    global failures  # noqa: PLW0603
    facts: list[str] = []
    begin = time.monotonic()
    try:
        yield facts
    except Exception as error:  # noqa: BLE001
        failures += 1
        print(f"FAIL {title}: {type(error).__name__}: {error}")
        for line in (log() if log else "").splitlines()[-25:]:
            print(f"     | {line}")
    else:
        print(f"ok   {title} ({', '.join([*facts, f'{time.monotonic() - begin:.1f} s'])})")
    sys.stdout.flush()


def true(statement: object, otherwise: object) -> None:
    """Raises ValueError that shows `otherwise`, unless the statement is true."""
    if not statement:
        raise ValueError(str(otherwise))


def until(condition: Callable[[], T], seconds: float = PATIENCE) -> T:
    """The first true answer. Raises TimeoutError with the last one that was not."""
    end = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds:g} s; last: {answer!r}")
        time.sleep(0.1)
    return answer


def run(*command: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """A command to its end."""
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout, check=False)


def outside(*command: object, place: str = "fa-lan") -> subprocess.CompletedProcess[str]:
    """A command in one of the network namespaces."""
    return run("ip", "netns", "exec", place, *command)


def curl(
    path: str, *options: object, key: str | None = None, port: int = PORT, address: str = ADDRESS
) -> tuple[int, str]:
    """Status and body of an answer to the LAN; status 0 when there is none."""
    header = ["-H", f"Authorization: Bearer {key}"] if key else []
    scheme = "https" if port == TLS_PORT else "http"
    done = outside(
        "curl", "-s", "-m", 10, "-w", "\n%{http_code}", *header, *options, f"{scheme}://{address}:{port}{path}"
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status or 0), body


class Container:
    """A Debian that boots."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.root = FOLDER / name / "root"
        self._boot()

    def _boot(self) -> None:
        self._process = subprocess.Popen(
            [
                "systemd-nspawn", "-q", "-D", self.root, "--boot", "--register=no", "--keep-unit", "--console=passive",
                f"--network-namespace-path=/run/netns/fa-{self.name}", f"--machine={self.name}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=(FOLDER / f"{self.name}.log").open("a"),
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        (FOLDER / f"{self.name}.pid").write_text(str(self._process.pid))

    def reboot(self) -> None:
        """Shuts down and begins again, as far as the power button."""
        self.run("systemctl", "reboot")
        true(self._process.wait(60) == RESTART, self._process.returncode)
        self._boot()

    @property
    def leader(self) -> int | None:
        """The process id, out here, of its systemd."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def run(self, *command: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """A command inside, to its end."""
        enter = ["nsenter", "-t", self.leader, "-m", "-u", "-i", "-n", "-p", "-r", "-w"]
        home = ["env", "-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"]
        return run(*enter, *home, *command, timeout=timeout)

    def says(self, *command: object) -> str:
        """What a command inside prints. Raises ValueError when it fails."""
        done = self.run(*command)
        true(done.returncode == 0, f"{command}: {done.returncode} {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def up(self) -> None:
        """Waits until it has booted."""

        def running() -> bool:
            leader = self.leader
            if leader is None or not Path(f"/proc/{leader}/root/run/systemd/private").exists():
                return False
            return self.run("systemctl", "is-system-running").stdout.strip() in {"running", "degraded"}

        until(running)

    def journal(self) -> str:
        return self.run("journalctl", "-q", "-u", SERVICE, "-n", 25, "--no-pager", "-o", "short-monotonic").stdout

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        (FOLDER / f"{self.name}.pid").unlink()


class Browsing:
    """avahi-browse, as it goes on."""

    def __init__(self, observer: Container) -> None:
        self._observer = observer
        self._log = FOLDER / "browse.log"

    def __enter__(self) -> Self:
        enter = ["nsenter", "-t", str(self._observer.leader), "-m", "-u", "-i", "-n", "-p", "-r", "-w"]
        self._process = subprocess.Popen(
            [*enter, "stdbuf", "-oL", "avahi-browse", "-p", "-r", "_faceapi._tcp"],
            stdout=self._log.open("w"),
            stderr=subprocess.STDOUT,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def lines(self) -> list[str]:
        return [unescaped(line) for line in self._log.read_text().splitlines()]

    def sees(self, *parts: str, seconds: float = PATIENCE) -> str:
        """The first line with all of the parts."""
        return until(lambda: next((line for line in self.lines if all(part in line for part in parts)), ""), seconds)


def unescaped(line: str) -> str:
    r"""avahi-browse -p prints a blank as \032."""
    return re.sub(r"\\(\d{3})", lambda found: chr(int(found[1])), line)


def discovered() -> list[dict[str, Any]]:
    """What `appliance discover` finds on the LAN."""
    return list(json.loads(outside(PROGRAM, "discover", "--json").stdout))


def answering(seconds: float, **how: Any) -> float:
    """Seconds until /version answers 200."""
    begin = time.monotonic()
    until(lambda: curl("/version", **how)[0] == 200, seconds)
    return time.monotonic() - begin


class Device(Container):
    """The container with the appliance in it."""

    key = ""

    def install(self, wheels: str, *options: str) -> subprocess.CompletedProcess[str]:
        return self.run("sh", "/opt/project/scripts/install", "--from", f"/opt/{wheels}", *options, timeout=400)

    def package(self, file: Path) -> str:
        """Installs a Debian package, and returns what that prints."""
        shutil.copy(file, self.root / "opt")
        done = self.run("dpkg", "-i", f"/opt/{file.name}", timeout=400)
        true(done.returncode == 0, done.stdout + done.stderr)
        (self.root / "opt" / file.name).unlink()
        return done.stdout

    def shown(self, what: str) -> str:
        """A property of the unit."""
        return self.says("systemctl", "show", "-p", what, "--value", SERVICE)

    def resident(self) -> int:
        """Bytes of memory the program holds."""
        status = self.says("cat", f"/proc/{self.shown('MainPID')}/status")
        return 1024 * int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0])

    @property
    def version(self) -> str:
        return Path(f"{self.root}/opt/face-appliance/current").readlink().name

    def configure(self, before: str, after: str) -> None:
        """Changes the configuration and restarts with it."""
        file = Path(f"{self.root}{SETTINGS}")
        text = file.read_text()
        true(before in text, f"no {before!r} in {SETTINGS}")
        file.write_text(text.replace(before, after))
        self.says("systemctl", "restart", SERVICE)


def as_printed(device: Device, name: str) -> str:
    """Runs a block of PRINTED in the container, whose root needs no sudo; returns what it prints."""
    page, begin = PRINTED[name]
    blocks = re.findall(r"^```sh\n(.*?)^```$", (PROJECT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (block,) = (each for each in blocks if each.startswith(begin))
    return device.says("sh", "-euc", f'sudo() {{ "$@"; }}\n{block}')


def changed(edit: Callable[[Path], None]) -> Path:
    """A copy of the project, after a change."""
    source = FOLDER / "source"
    shutil.rmtree(source, ignore_errors=True)
    for part in ("appliance", "models", "systemd", "scripts", "docs"):
        shutil.copytree(PROJECT / part, source / part)
    for part in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "NOTICE", "CHANGELOG.md"):
        shutil.copy(PROJECT / part, source / part)
    edit(source)
    return source


def packed(name: str, edit: Callable[[Path], None]) -> str:
    """Wheels of the project after a change; returns the name of their folder in the device."""
    source, wheels = changed(edit), FOLDER / f"wheels-{name}"
    shutil.rmtree(wheels, ignore_errors=True)
    shutil.copytree(FOLDER / "wheels", wheels)
    done = run("sh", source / "scripts" / "install", "--download", wheels, timeout=300)
    true(done.returncode == 0, done.stderr)
    shutil.copytree(wheels, FOLDER / "device" / "root" / "opt" / wheels.name)
    return wheels.name


def rewritten(file: Path, before: str, after: str) -> None:
    """Replaces a text that must be there."""
    text = file.read_text()
    true(before in text, f"no {before!r} in {file}")
    file.write_text(text.replace(before, after, 1))


def newer(source: Path) -> None:
    """A version that works."""
    rewritten(source / "appliance" / "__init__.py", '"0.', '"9.')


def dead(source: Path) -> None:
    """A version that passes its self-test, and does not start."""
    rewritten(
        source / "appliance" / "machine.py",
        "    def run(self)",
        "    def run(self) -> int:\n        raise SystemExit(1)\n\n    def ran(self)",
    )


def damaged(source: Path) -> None:
    """A version whose detector does not work."""
    for file in (source / "models").glob("detector_320_*.tflite"):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)


def check_installation(device: Device) -> None:
    with check("installed from a folder of wheels, without a network", device.journal) as facts:
        done = device.install("wheels", "--tls")
        true(done.returncode == 0, done.stdout + done.stderr)
        found = re.search(r"first key, shown only now: (fa_\S+)", done.stdout)
        true(found and f"http://{ADDRESS}:{PORT}" in done.stdout, done.stdout)
        device.key = found[1] if found else ""
        facts.append(device.says("du", "-sh", "/opt/face-appliance").split()[0])
    with check("active, READY, with its state in the status", device.journal) as facts:
        true(device.shown("ActiveState") == "active", device.shown("ActiveState"))
        until(lambda: device.shown("StatusText") == "There is no camera, or it cannot be opened.", 20)
        facts.append(f"{device.resident() / 2**20:.0f} MB")
        device.configure('driver = "auto"', 'driver = "none"')
        until(lambda: device.shown("StatusText") == "Everything works.", 20)
    with check("installed again: nothing changes but the restart"):
        version = device.version
        done = device.install("wheels")
        true(done.returncode == 0 and "keys: as before" in done.stdout, done.stdout + done.stderr)
        true(device.version == version, device.version)
        true('driver = "none"' in device.says("cat", SETTINGS), "the configuration was replaced")
    with check("what it runs on is closed and unprivileged"):
        pid = device.shown("MainPID")
        status = device.says("cat", f"/proc/{pid}/status")
        true(re.search(r"^CapEff:\s+0+$", status, re.MULTILINE), status)
        true(re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE), status)
        limits = device.says("cat", f"/proc/{pid}/limits")
        true(re.search(r"^Max core file size\s+0\s+0", limits, re.MULTILINE), limits)
        true(device.says("ps", "-o", "user:20=", "-p", pid) == "face-appliance", "another user")
    for unit in (SERVICE, f"{SERVICE}-tls"):
        with check(f"systemd-analyze security {unit}: at most {LARGEST_EXPOSURE}") as facts:
            found = re.search(
                r"exposure level.*: ([0-9.]+)", device.run("systemd-analyze", "security", "--no-pager", unit).stdout
            )
            true(found, "no level")
            facts.append(found[1] if found else "")
            true(found and float(found[1]) <= LARGEST_EXPOSURE, facts)


def check_clock(device: Device) -> None:
    unsaid = "timedatectl does not say whether the clock is synchronised"
    drop_in = f"{device.root}{DROP_INS}/asked.conf"
    with check("the unit may ask systemd-timedated for the clock, and not set it", device.journal) as facts:
        true(unsaid not in device.says("journalctl", "-q", "-u", SERVICE, "-o", "cat"), "timedated did not answer")
        Path(drop_in).parent.mkdir()
        asked = "".join(f"ExecStartPre=-{command}\n" for command in (TIMEDATECTL, "/bin/date --set=2020-02-02"))
        Path(drop_in).write_text(f"[Service]\n{asked}")
        device.says("systemctl", "daemon-reload")
        device.says("systemctl", "restart", SERVICE)
        logged = device.says("journalctl", "-q", "-u", SERVICE, "-n", "30", "-o", "cat").splitlines()
        (answer,) = {"yes", "no"} & set(logged)
        true("/bin/date: cannot set date: Operation not permitted" in logged, logged)
        facts.append(f"synchronised: {answer}")
    with check("without timedated the log says that the clock cannot be known", device.journal):
        Path(drop_in).unlink()
        for command in ("mask --runtime --now systemd-timedated", "daemon-reload", f"restart {SERVICE}"):
            device.says("systemctl", *command.split())
        until(lambda: unsaid in device.says("journalctl", "-q", "-u", SERVICE, "-n", "30", "-o", "cat"), 20)
        device.says("systemctl", "unmask", "--runtime", "systemd-timedated")
        device.says("rm", "-r", DROP_INS)
        device.says("systemctl", "daemon-reload")


TIMEDATECTL = "/usr/bin/timedatectl show --property=NTPSynchronized --value"


def check_answers(device: Device) -> None:
    portrait = f"@{PROJECT}/models/portrait.jpg"
    with check("a client without a key on the LAN is rejected: 401, INF-25"):
        for path, options in (
            ("/faces", ["-X", "POST", "--data-binary", portrait]),
            ("/version", []),
            ("/nowhere", []),
        ):
            status, body = curl(path, *options)
            true(status == 401 and "INF-25" in body, f"{path}: {status} {body}")
        true(curl("/version", key="fa_" + "A" * 43)[0] == 401, "an invented key is taken")
    with check("the documented lines are answered to the first key") as facts:
        status, body = curl("/faces", "-X", "POST", "--data-binary", portrait, key=device.key)
        true(status == 200 and json.loads(body)["count"] == 1, f"{status} {body[:200]}")
        status, body = curl("/alignedfaces?detectcount=1", "-X", "POST", "--data-binary", portrait, key=device.key)
        true(status == 200 and json.loads(body)["count"] == 1, f"{status} {body[:200]}")
        parts = ["-F", f"image_a={portrait}", "-F", f"image_b={portrait}"]
        true(curl("/similarity/v2", *parts, key=device.key)[0] == 400, "a picture of another size is taken")
        frames = FOLDER / "frames.zip"
        run("python3", "-c", FOUR_FRAMES, frames, PROJECT / "models" / "portrait.jpg")
        status, body = curl("/liveness/multiframe", "-F", f"images=@{frames}", key=device.key)
        true(status == 200 and json.loads(body)["confidence"] <= 0.3, f"{status} {body[:200]}")
        status, body = curl("/version", key=device.key)
        true(status == 200, f"{status} {body[:200]}")
        facts.append(json.loads(body)["runtime"]["name"])
    with check("on the device itself no key is needed"):
        true('"api_version"' in device.says("curl", "-s", f"http://127.0.0.1:{PORT}/version"), "no answer")
    with check("the TLS front answers by its certificate") as facts:
        certificate = f"{device.root}/etc/face-appliance/tls/certificate.pem"
        true(curl("/version", "--cacert", certificate, port=TLS_PORT)[0] == 401, "no key is asked for")
        status, _ = curl("/version", "--cacert", certificate, key=device.key, port=TLS_PORT)
        true(status == 200, status)
        true(device.says("stat", "-c", "%a %U", "/etc/face-appliance/tls/key.pem") == "600 root", "the key can be read")
        logged = device.says("journalctl", "-q", "-u", SERVICE, "-n", "20", "-o", "cat")
        true("from=192.0.2.1" in logged.splitlines()[-1], logged)
        as_printed(device, "certificate")
        answering(PATIENCE, key=device.key)
        until(lambda: curl("/version", "--cacert", certificate, key=device.key, port=TLS_PORT)[0] == 200, PATIENCE)
    with check(
        "the TLS front answers by IPv6 where the program does, and passes on addresses of both versions"
    ) as facts:
        secure: dict[str, Any] = {"key": device.key, "port": TLS_PORT}
        true(curl("/version", "-k", address=VERSION_6, **secure)[0] == 0, "by IPv6, where the program is not")
        device.configure('host = "0.0.0.0"', 'host = "::"')
        true(f"https://{VERSION_6}:{TLS_PORT}" in device.install("wheels").stdout, "not listed")
        for address, client in ((VERSION_6, "2001:db8::1"), (ADDRESS, "192.0.2.1")):
            until(lambda address=address: curl("/version", "-k", address=address, **secure)[0] == 200, PATIENCE)
            last = "journalctl", "-q", "-u", SERVICE, "-n", "1", "-o", "cat"  # the journal may be a moment behind
            until(lambda client=client, last=last: f"from={client} " in f"{device.says(*last)} ", 10)
            facts.append(client)
        device.configure('host = "::"', 'host = "0.0.0.0"')
        true(device.install("wheels").returncode == 0, "not installed again")
    with check("a key that is revoked is refused at once"):
        added = device.says("appliance", "keys", "add", "guest").splitlines()[-1]
        time.sleep(NOTICED)
        true(curl("/version", key=added)[0] == 200, "a new key is not taken")
        device.says("appliance", "keys", "revoke", "guest")
        time.sleep(NOTICED)
        true(curl("/version", key=added)[0] == 401, "it is still taken")


FOUR_FRAMES = """
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as archive:
    for number in "1234":
        archive.write(sys.argv[2], number + ".jpg")
"""


SITE_KEY = "/etc/face-appliance/gallery.key"
DATABASE = "/var/lib/face-appliance/gallery.db"
PASSPHRASE, BACKUP = "/opt/passphrase", "/opt/people.backup"
HOPPER = "/opt/project/appliance/camera/demonstration/grace_hopper.jpg"
DROP_INS = f"/etc/systemd/system/{SERVICE}.service.d"


def known(device: Device) -> list[str]:
    """The ids of the people that the running device knows."""
    status, body = curl("/people", key=device.key)
    return [person["id"] for person in json.loads(body)["people"]] if status == 200 else []


def reasons(device: Device) -> list[str]:
    """What the device says is wrong."""
    return [reason["state"] for reason in json.loads(curl("/healthz", key=device.key)[1])["reasons"]]


def check_people(device: Device) -> None:
    people = ["appliance", "people"]
    with check("the site key is root's alone, and reaches the service as a credential", device.journal) as facts:
        true(device.says("stat", "-c", "%a %U", SITE_KEY) == "600 root", "others can read it")
        true(device.says("stat", "-c", "%a %U", DATABASE) == "600 face-appliance", "the gallery is another's")
        credential = f"/run/credentials/{SERVICE}.service/gallery-key"
        facts.append(device.says("stat", "-c", "%a %U %n", credential))
        true(not [reason for reason in reasons(device) if reason.startswith("gallery")], reasons(device))
    with check("enrolled over HTTP, and recognised", device.journal):
        add = ["-X", "POST", "--data-binary", '{"id": "eileen", "name": "Eileen Collins", "groups": ["staff"]}']
        status, body = curl("/people", *add, key=device.key)
        true(status == 201, body)
        photo = ["-X", "POST", "--data-binary", f"@{PROJECT}/models/portrait.jpg"]
        status, body = curl("/people/eileen/templates", *photo, key=device.key)
        true(status == 201, body)
        status, body = curl("/identify", *photo, key=device.key)
        (face,) = json.loads(body)["faces"]
        true(face["result"] == "identified" and face["person"]["id"] == "eileen", body)
    with check("managed by root next to the running service: no file becomes root's", device.journal) as facts:
        device.says("sh", "-c", f"echo a passphrase of many words >{PASSPHRASE}")
        device.says(*people, "add", "grace", "--name", "Grace Hopper", "--valid-until", "2099-12-31")
        facts.append(device.says(*people, "enrol", "grace", HOPPER).rpartition(": ")[2])
        until(lambda: known(device) == ["eileen", "grace"], 10)
        device.says(*people, "backup", BACKUP, "--passphrase-file", PASSPHRASE)
        true(device.says("stat", "-c", "%a %U", BACKUP) == "600 root", "others can read the backup")
        receipt = json.loads(device.says(*people, "erase", "grace", "--yes"))
        true(receipt["complete"] and receipt["templates"] == 1 and receipt["record"], receipt)
        until(lambda: known(device) == ["eileen"], 10)
        device.says(*people, "restore", BACKUP, "--passphrase-file", PASSPHRASE)
        until(lambda: known(device) == ["eileen", "grace"], 10)
        device.says(*people, "rotate")
        device.says("appliance", "decisions", "verify")
        true(device.says("find", "/var/lib/face-appliance", "-user", "root") == "", "something is root's")


def check_pages(device: Device) -> None:
    with check("the backup of docs/operate.md: without the site key, for root only", device.journal) as facts:
        as_printed(device, "backup")
        answering(PATIENCE, key=device.key)
        true(device.says("stat", "-c", "%a %U", "/backup.tgz") == "600 root", "others can read it")
        names = device.says("tar", "tzf", "/backup.tgz").split()
        true("var/lib/face-appliance/gallery.db" in names and "etc/face-appliance/gallery.key" not in names, names)
        facts.append(f"{len(names)} files")
    with check("settings, status and the webhook's secret as docs/ has them", device.journal):
        true("active (running)" in as_printed(device, "settings"), "not active")
        answering(PATIENCE, key=device.key)
        until(lambda: "Everything works." in as_printed(device, "status"), 20)
        as_printed(device, "webhook")
        answering(PATIENCE, key=device.key)
        true(
            device.says("stat", "-c", "%a %U", "/etc/face-appliance/webhook-secret") == "600 root", "others can read it"
        )
        credential = f"/run/credentials/{SERVICE}.service/webhook-secret"
        true(device.says("cat", credential).startswith("whsec_"), "the service does not get it")
        device.says("rm", "/etc/face-appliance/webhook-secret", "/backup.tgz")


def check_site_key(device: Device) -> None:
    with check(
        "the site key is missing: no person is recognised, everything else is answered", device.journal
    ) as facts:
        device.says("mv", SITE_KEY, "/opt/")
        device.says("systemctl", "restart", SERVICE)
        answering(PATIENCE, key=device.key)
        until(lambda: "gallery_locked" in reasons(device), 10)
        facts.append(f"{reasons(device)}")
        true(curl("/people", key=device.key)[0] == 503, "people are listed")
        status, _ = curl("/faces", "-X", "POST", "--data-binary", f"@{PROJECT}/models/portrait.jpg", key=device.key)
        true(status == 200, status)
        done = device.install("wheels")
        true(done.returncode == 0 and f"{SITE_KEY} is missing" in done.stderr, done.stdout + done.stderr)
        true(device.run("test", "-e", SITE_KEY).returncode, "a new key was made")
    with check("sealed by systemd: the key is found, and commands find it the same way", device.journal):
        device.says("cp", "-p", "/opt/gallery.key", SITE_KEY)
        as_printed(device, "seal")
        device.says("rm", SITE_KEY)
        device.says("systemctl", "restart", SERVICE)
        answering(PATIENCE, key=device.key)
        until(lambda: known(device) == ["eileen", "grace"], 10)
        listed = as_printed(device, "sealed")
        true("Grace Hopper" in listed, listed)
        true(device.says("find", "/var/lib/face-appliance", "-user", "root") == "", "something is root's")
        device.says("rm", "-r", DROP_INS, "/etc/face-appliance/gallery.cred")
        device.says("mv", "/opt/gallery.key", SITE_KEY)
        device.says("systemctl", "daemon-reload")
        device.says("systemctl", "restart", SERVICE)
        answering(PATIENCE, key=device.key)
        until(lambda: known(device) == ["eileen", "grace"], 10)


DISPLAY = f"{SERVICE}-kiosk"

HEADLESS = """[Service]
Environment=WLR_BACKENDS=headless WLR_RENDERER=pixman
StandardInput=null
TTYPath=
TTYReset=no
TTYVHangup=no
TTYVTDisallocate=no
"""
"""A container has no screen and no virtual terminal: the compositor draws into memory, and what it draws is not looked at."""


def display_journal(device: Device) -> str:
    return device.run("journalctl", "-q", "-u", DISPLAY, "-n", 25, "--no-pager", "-o", "cat").stdout


def opened(device: Device) -> int:
    """How often the page of the display was opened so far."""
    log = device.says("journalctl", "-q", "-u", SERVICE, "-o", "cat")
    return len(re.findall(r"GET /kiosk 200 .* from=127\.0\.0\.1", log))


def check_display(device: Device) -> None:
    with check("a display: its browser opens the page of the door and signs in", lambda: display_journal(device)):
        drop_in = Path(f"{device.root}/etc/systemd/system/{DISPLAY}.service.d")
        drop_in.mkdir()
        (drop_in / "headless.conf").write_text(HEADLESS)
        device.configure("loopback = true", "loopback = false")
        answering(PATIENCE, key=device.key)
        done = device.install("wheels", "--kiosk")
        true(done.returncode == 0, done.stdout + done.stderr)
        until(lambda: opened(device) == 1, 3 * PATIENCE)
        used = "key own-display is used from 127.0.0.1"
        until(lambda: used in device.says("journalctl", "-q", "-u", SERVICE, "-o", "cat"))
    with check("its key is root's alone, and on no command line; its processes are another user's"):
        true(
            device.says("stat", "-c", "%a %U", "/etc/face-appliance/kiosk.key") == "600 root", "others can read the key"
        )
        for path in ("/etc/face-appliance/kiosk.key", "/run/face-appliance-kiosk/start.html"):
            read = device.run("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "cat", path)
            true(read.returncode, f"{path} can be read")
        true("fa_" not in device.says("ps", "-e", "-o", "args"), "the key is on a command line")
        users = set(device.says("ps", "-e", "-o", "user:20=,comm=").split("\n"))
        browsers = {each.split()[0] for each in users if each.split()[1] in {"cage", "chromium"}}
        true(browsers == {"face-kiosk"}, browsers)
    with check("a browser that ends is started again", lambda: display_journal(device)) as facts:
        before = opened(device)
        device.says("systemctl", "kill", "-s", "KILL", DISPLAY)
        begin = time.monotonic()
        until(lambda: opened(device) > before, 3 * PATIENCE)
        facts.append(f"after {time.monotonic() - begin:.1f} s")
    device.configure("loopback = false", "loopback = true")
    answering(PATIENCE, key=device.key)


def check_network(device: Device, observer: Container) -> None:
    # avahi-browse does not tell of a TXT that changes
    until(lambda: any(each["txt"]["st"] == "ready" for each in discovered() if ADDRESS in each["addresses"]), PATIENCE)
    with Browsing(observer) as browsing:
        with check("found by avahi-browse, with version, state and fingerprint in its TXT") as facts:
            line = browsing.sees("=;", "IPv4", ADDRESS, '"st=ready"')
            pem = device.says(
                "openssl",
                "x509",
                "-in",
                "/etc/face-appliance/tls/certificate.pem",
                "-outform",
                "DER",
                "-out",
                "/run/der",
            )
            digest = (
                device.says("sh", "-c", "openssl dgst -sha256 -binary /run/der | base64 | tr '+/' '-_' | tr -d =")
                or pem
            )
            true(f'"fp={digest}"' in line and '"tls=1"' in line and '"auth=key"' in line, line)
            facts.append(line.split(";")[3])
        with check("found by appliance discover") as facts:
            (found,) = [each for each in discovered() if ADDRESS in each["addresses"]]
            true((found["port"], found["txt"]["st"], found["txt"]["auth"]) == (PORT, "ready", "key"), found)
            facts.append(outside(PROGRAM, "discover").stdout.splitlines()[3].strip())
        with check("a name that another appliance has: both are found, by two names", device.journal) as facts:
            device.configure("# name =", f'name = "{NAME}"')
            browsing.sees("=;", f";{NAME};", ADDRESS)
            with second_appliance():
                names = until(two_names)
                facts.append(" / ".join(names))
        with check("goodbye at the stop") as facts:
            before = len(browsing.lines)
            begin = time.monotonic()
            device.says("systemctl", "stop", SERVICE)
            until(lambda: any(line.startswith("-;") and f";{NAME};" in line for line in browsing.lines[before:]), 10)
            facts.append(f"after {time.monotonic() - begin:.1f} s")
            device.says("systemctl", "start", SERVICE)
            until(lambda: resolved(observer, ADDRESS))
        with check("another address: announced again, answered there", device.journal) as facts:
            begin = time.monotonic()
            moved(ADDRESS, MOVED)
            until(lambda: resolved(observer, MOVED))
            facts.append(f"after {time.monotonic() - begin:.1f} s")
            true(curl("/version", key=device.key, address=MOVED)[0] == 200, "no answer there")
            moved(MOVED, ADDRESS)


def resolved(observer: Container, address: str) -> bool:
    """Whether the observer, asked anew, finds the device at an address. avahi-browse resolves a name that stays only once."""
    lines = observer.run("timeout", "20", "avahi-browse", "-rpt", "_faceapi._tcp").stdout.splitlines()
    return any(each.startswith("=;") and f";{NAME};" in each and address in each for each in map(unescaped, lines))


def moved(before: str, after: str) -> None:
    """The router gives the device another address, in one step."""
    lines = f"address delete {before}/24 dev eth0\\naddress add {after}/24 dev eth0\\n"
    done = run("sh", "-c", f"printf '{lines}' | ip -n fa-device -batch -")
    true(done.returncode == 0, done.stderr)


def two_names() -> list[str]:
    """Those that the two appliances have agreed on; empty while they have not."""
    names = sorted({each["name"] for each in discovered()})
    return names if len(names) == 2 and all(name.startswith(NAME) for name in names) else []


@contextmanager
def second_appliance() -> Iterator[None]:
    """Another one of the same name, on the same LAN."""
    settings, log = FOLDER / "second.toml", FOLDER / "second.log"
    settings.write_text(
        f'[server]\nhost = "0.0.0.0"\n[lan]\nname = "{NAME}"\n[camera]\ndriver = "none"\n[access]\nopen = true\n'
        f'[state]\nfolder = "{FOLDER / "second"}"\n'
    )
    process = subprocess.Popen(
        ["ip", "netns", "exec", "fa-second", PROGRAM, "serve", "--config", settings],
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
    )
    (FOLDER / "second.pid").write_text(str(process.pid))
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)
        (FOLDER / "second.pid").unlink()


def check_mishaps(device: Device) -> None:
    with check("killed: answers again within 5 s", device.journal) as facts:
        answering(PATIENCE, key=device.key)
        device.says("systemctl", "kill", "-s", "KILL", SERVICE)
        begin = time.monotonic()
        until(lambda: curl("/version", key=device.key)[0] == 0, 5)
        answering(PATIENCE, key=device.key)
        seconds = time.monotonic() - begin
        facts.append(f"after {seconds:.1f} s")
        true(seconds <= 5, f"{seconds:.1f} s")
    with check("stopped (SIGSTOP): the watchdog restarts it", device.journal) as facts:
        restarts = int(device.shown("NRestarts"))
        device.says("systemctl", "kill", "-s", "STOP", SERVICE)
        begin = time.monotonic()
        until(lambda: int(device.shown("NRestarts")) > restarts, 90)
        answering(PATIENCE, key=device.key)
        facts.append(f"after {time.monotonic() - begin:.0f} s")
        logged = device.says("journalctl", "-q", "-u", SERVICE, "-n", "500", "-o", "cat")
        true("Watchdog timeout" in logged, "by something else")
    with check("disk full: answers, and reports it", device.journal) as facts:
        free, block = map(int, device.says("stat", "-f", "-c", "%a %S", "/").split())
        device.says("fallocate", "-l", free * block - 2**20, "/fill")
        status, _ = curl("/faces", "-X", "POST", "--data-binary", f"@{PROJECT}/models/portrait.jpg", key=device.key)
        true(status == 200, status)
        until(lambda: '"disk"' in curl("/healthz", key=device.key)[1], 10)
        status, body = curl("/healthz", key=device.key)
        facts.append(f"{status} {json.loads(body)['reasons']}")
        until(lambda: "disk" in device.shown("StatusText"), 10)
        device.says("systemctl", "restart", SERVICE)
        answering(PATIENCE, key=device.key)
        device.says("rm", "/fill")
        until(lambda: device.shown("StatusText") == "Everything works.", 10)
    with check("the device reboots: up by itself", device.journal) as facts:
        device.reboot()
        facts.append(f"answers {answering(PATIENCE, key=device.key):.1f} s after the start")
        device.up()
        true(device.shown("ActiveState") == "active", device.shown("ActiveState"))
        until(lambda: known(device) == ["eileen", "grace"], 10)
        until(lambda: device.run("systemctl", "is-active", DISPLAY).stdout.strip() == "active")


def check_upgrades(device: Device) -> None:
    old = device.version
    with check("a newer version over a running one", device.journal) as facts:
        done = device.install(packed("newer", newer))
        true(done.returncode == 0, done.stdout + done.stderr)
        version = json.loads(curl("/version", key=device.key)[1])["sdk_version"]
        true(version.startswith("9.") and device.version.startswith(f"{version}+"), version)
        true('driver = "none"' in device.says("cat", SETTINGS), "the configuration was replaced")
        until(lambda: known(device) == ["eileen", "grace"], 10)
        kept = sorted(path.name for path in Path(f"{device.root}/opt/face-appliance").iterdir())
        true(kept == sorted([old, device.version, "current"]), kept)
        facts.append(f"{old} -> {device.version}")
    new = device.version
    with check("a damaged version is refused, and the running one not touched") as facts:
        process = device.shown("MainPID")
        done = device.install(packed("damaged", damaged))
        facts.append(done.stderr.splitlines()[-1])
        true(done.returncode == 1 and "fails its self-test" in done.stderr, done.stdout + done.stderr)
        true((device.version, device.shown("MainPID")) == (new, process), device.version)
    with check("a version that does not start is taken back", device.journal) as facts:
        done = device.install(packed("dead", dead))
        facts.append(done.stderr.splitlines()[-1])
        true(done.returncode == 1 and f"{new} runs again" in done.stderr, done.stdout + done.stderr)
        true(device.version == new and curl("/version", key=device.key)[0] == 200, device.version)
        kept = sorted(path.name for path in Path(f"{device.root}/opt/face-appliance").iterdir())
        true(kept == sorted([old, new, "current"]), kept)


def check_removal(device: Device) -> None:
    with check("uninstalled: people, keys and settings are kept, and removed by --purge"):
        for options, stays in (([], True), (["--purge"], False)):
            done = device.run("sh", "/opt/project/scripts/install", "--uninstall", *options)
            true(done.returncode == 0, done.stdout + done.stderr)
            true(("with people and the key" in done.stdout) is not stays, done.stdout)
            for path in ("/etc/face-appliance", "/var/lib/face-appliance", SITE_KEY, DATABASE):
                true(Path(f"{device.root}{path}").exists() is stays, f"{path} {stays}")
        left = device.run(
            "sh",
            "-c",
            "ls -d /opt/face-appliance /usr/local/bin/appliance /etc/systemd/system/face-appliance*.service /etc/pam.d/face-*",
        ).stdout
        true(left == "", left)
        true(device.run("id", "face-kiosk").returncode, "the display's user is there")
        true(curl("/version")[0] == 0, "something still answers")


def check_package(device: Device) -> None:
    with check("the Debian package installs, and the service starts with a key", device.journal) as facts:
        device.key = ""
        done = device.package(next((FOLDER / "packages").glob("*.deb")))
        found = re.search(r"first key, shown only now: (fa_\S+)", done)
        true(found, done)
        device.key = found[1] if found else ""
        facts.append(f"{answering(PATIENCE, key=device.key):.1f} s")
        true(device.says("dpkg", "--verify", SERVICE) == "", "files of the package were changed")
        add = ["-X", "POST", "--data-binary", '{"id": "eileen", "name": "Eileen Collins"}']
        true(curl("/people", *add, key=device.key)[0] == 201, "not added")
        true(Path(f"{device.root}/usr/share/man/man1/appliance.1.gz").exists(), "no man page")
    with check("a newer package over a running one: people and keys are kept", device.journal) as facts:
        old = device.version
        done = run("sh", changed(newer) / "scripts" / "package", FOLDER / "packages-newer", timeout=400)
        true(done.returncode == 0, done.stderr)
        true("keys: as before" in device.package(next((FOLDER / "packages-newer").glob("*.deb"))), "another key")
        answering(PATIENCE, key=device.key)
        version = json.loads(curl("/version", key=device.key)[1])["sdk_version"]
        true(version.startswith("9.") and device.version.startswith(f"{version}+"), version)
        until(lambda: known(device) == ["eileen"], 10)
        kept = sorted(path.name for path in Path(f"{device.root}/opt/face-appliance").iterdir())
        true(kept == sorted([old, device.version, "current"]), kept)
        facts.append(f"{old} -> {device.version}")
    with check("removed, the package keeps people, keys and settings; purged, nothing"):
        for action, stays in (("--remove", True), ("--purge", False)):
            device.says("dpkg", action, SERVICE)
            for path in ("/etc/face-appliance", "/var/lib/face-appliance"):
                true(Path(f"{device.root}{path}").exists() is stays, f"{path} {stays}")
            true(not Path(f"{device.root}/opt/face-appliance").exists(), "the program is there")
        true(device.run("id", SERVICE).returncode, "the user is there")
        true(curl("/version")[0] == 0, "something still answers")


def main() -> int:
    """Everything in turn; returns the exit status."""
    containers = [Device("device"), Container("observer")]
    device, observer = containers[0], containers[1]
    assert isinstance(device, Device)
    try:
        with check("Debian bookworm boots, with systemd, on a network of its own") as facts:
            for each in containers:
                each.up()
            facts.append(device.says("systemctl", "--version").splitlines()[0])
        check_installation(device)
        check_clock(device)
        check_answers(device)
        check_people(device)
        check_pages(device)
        check_site_key(device)
        check_display(device)
        check_network(device, observer)
        check_mishaps(device)
        check_upgrades(device)
        check_removal(device)
        check_package(device)
    finally:
        for each in containers:
            each.stop()
    print("all ok" if not failures else f"{failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    os.environ.pop("NOTIFY_SOCKET", None)
    sys.exit(main())
