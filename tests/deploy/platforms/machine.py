#!/usr/bin/python3
"""The init of a test's instance: as much of systemd as Elastic Beanstalk and its hooks use.

Started as the first process of a PID namespace, with a folder for its socket and its notes. Serves
`systemctl` and `journalctl`, which are links to this file. SIGTERM shuts it down: every unit is
stopped after those that it is to be started before, as systemd does.
"""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time

UNITS = "/etc/systemd/system"
TICK = 0.01


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def seconds(text):
    return float(text.removesuffix("s"))


def environment(path):
    """An EnvironmentFile: within double quotes a backslash quotes what would end or open something."""
    found = {}
    text = open(path).read()
    while text.strip():
        name, text = text.lstrip().split("=", 1)
        value = ""
        if text.startswith('"'):
            text = text[1:]
            while not text.startswith('"'):
                if text[0] == "\\" and text[1] in '"\\`$':
                    text = text[1:]
                value, text = value + text[0], text[1:]
            text = text[1:]
        else:
            value, _, text = text.partition("\n")
        found[name] = value
    return found


class Unit:
    def __init__(self, name, notes):
        self.name, self.notes = name, notes
        self.pid, self.code, self.restarts, self.restart_at, self.failed = None, None, 0, None, False

    def settings(self):
        settings = {}
        for line in open(f"{UNITS}/{self.name}"):
            name, equals, value = line.strip().partition("=")
            if equals and not name.startswith("#"):
                settings.setdefault(name, []).append(value)
        return settings

    def setting(self, name, default=""):
        return self.settings().get(name, [default])[-1]

    def start(self):
        self.restart_at, self.failed = None, False
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "MACHINE_UNIT": self.name}
        for file in self.settings().get("EnvironmentFile", []):
            env |= environment(file)
        with open(f"{self.notes}/{self.name}.log", "a") as log:
            process = subprocess.Popen(
                shlex.split(self.setting("ExecStart")),
                env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )
        self.pid = process.pid
        process.returncode = 0  # It is waited for below, with everything else.

    def ended(self, code):
        self.pid, self.code = None, code
        prevented = str(code) in self.setting("RestartPreventExitStatus").split()
        if code == 0:
            return
        if self.setting("Restart") == "on-failure" and not prevented:
            self.restart_at = now() + seconds(self.setting("RestartSec", "0"))
        else:
            self.failed = True

    def processes(self):
        """Everything that it started, as its control group would list it."""
        mark = f"MACHINE_UNIT={self.name}".encode()
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if mark in open(f"/proc/{pid}/environ", "rb").read().split(b"\0"):
                    found.append(int(pid))
            except OSError:
                pass  # It has ended, or is a zombie.
        return found

    def signal(self, number):
        for pid in self.processes():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass


class Machine:
    def __init__(self, notes):
        self.notes, self.units, self.down = notes, {}, False
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(f"{notes}/socket")
        self.socket.listen()
        self.socket.settimeout(TICK)
        signal.signal(signal.SIGTERM, self.shut_down)

    def shut_down(self, *_):
        self.down = True

    def run(self):
        while not self.down:
            self.tick()
            try:
                connection, _ = self.socket.accept()
            except TimeoutError:
                continue
            with connection:
                words = json.loads(connection.recv(65536))
                code, text = self.execute(words)
                connection.sendall(json.dumps([code, text]).encode())
        while active := [unit for unit in self.units.values() if unit.pid or unit.restart_at]:
            names = {unit.name for unit in active}
            last = [u for u in active if not names & set(u.setting("Before").split())]
            for unit in last:
                self.stop(unit)

    def tick(self):
        """Sees to whatever has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            for unit in self.units.values():
                if unit.pid == pid:
                    unit.ended(os.waitstatus_to_exitcode(status))
        for unit in self.units.values():
            if unit.restart_at and now() >= unit.restart_at and not self.down:
                unit.restarts += 1
                unit.start()

    def execute(self, words):
        options = [word for word in words if word.startswith("-")]
        verb, *names = [w for w in words if not w.startswith("-")]
        if verb == "NRestarts":  # Of `show --property NRestarts --value UNIT`.
            verb = "show"
        if verb == "daemon-reload":
            return 0, ""
        name = names[-1]
        if not os.path.exists(f"{UNITS}/{name}"):
            return 5, f"Unit {name} could not be found.\n"
        unit = self.units.setdefault(name, Unit(name, self.notes))
        if verb == "show":
            return 0, f"{unit.restarts}\n"
        if verb == "is-failed":
            return (0 if unit.failed else 1), ""
        # As systemd 252 counts: a unit that has ended for good, or was stopped while it ran, begins
        # its restarts at zero. One that waits for its next restart continues to count, also after
        # `restart`.
        waits = unit.restart_at is not None
        if verb in ("restart", "stop") and (unit.pid or waits):
            self.stop(unit)
        if verb == "restart" or (verb == "start" or "--now" in options) and not unit.pid:
            if not waits:
                unit.restarts = 0
            elif verb == "start":
                unit.restarts += 1
            unit.start()
        return 0, ""

    def stop(self, unit):
        signalled, killed = now(), False
        patience = signalled + seconds(unit.setting("TimeoutStopSec", "90s"))
        unit.restart_at, main = None, unit.pid
        unit.signal(signal.SIGTERM)
        while unit.pid or unit.processes():
            if now() > patience:
                killed = True
                unit.signal(signal.SIGKILL)
            time.sleep(TICK)
            self.tick()
            unit.restart_at = None
        code = unit.code if main else None
        with open(f"{self.notes}/ends", "a") as ends:
            end = {"unit": unit.name, "signalled": signalled, "ended": now(), "code": code, "killed": killed}
            ends.write(json.dumps(end) + "\n")


def main():
    called, notes = os.path.basename(sys.argv[0]), os.environ["MACHINE_NOTES"]
    if called == "journalctl" and "--unit" in sys.argv:
        name = sys.argv[sys.argv.index("--unit") + 1]
        lines = open(f"{notes}/{name}.log").readlines()
        sys.stdout.writelines(lines[-int(sys.argv[sys.argv.index("--lines") + 1]):])
    elif called == "journalctl":
        assert sys.argv[1:] == ["--sync"], sys.argv
    elif called == "systemctl":
        client = socket.socket(socket.AF_UNIX)
        client.connect(f"{notes}/socket")
        client.sendall(json.dumps(sys.argv[1:]).encode())
        code, text = json.loads(client.recv(65536))
        sys.stdout.write(text)
        sys.exit(code)
    else:
        Machine(notes).run()


main()
