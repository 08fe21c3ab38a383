#!/usr/bin/env python3
"""Talks to chatd's control socket for tests/nat/run: faster than a program for each text, and the checker of what arrived.

talk.py meet HOME_A A HOME_B B [relay_only|direct_only]   a private session; prints the time to the first text and the path
talk.py send HOME PEER WORD COUNT SECONDS                 queues numbered texts, spread over the time
talk.py settle HOME PEER SECONDS                          waits until nothing is on the way
talk.py path HOME PEER [SECONDS WANTED]                   the path, once it is the wanted one
talk.py check HOME_FROM FROM HOME_TO TO WORD COUNT [some] not queued, lost, doubled, out of order; exit 1 when any
                                                          some: part of them was refused, and rightly
talk.py offered HOME                                      the id of a file that waits for a yes
talk.py memory PID TEXT                                   exit 1 when the process has it in memory
"""
import json
import socket
import sys
import time


class Chatd:
    """One connection to a chatd."""

    def __init__(self, home):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(home + "/run/sock")
        self.reader = self.socket.makefile("rb")
        self.last = 0
        self.answers = {}
        self.call("hello", versions={"min": 1, "max": 1}, build="0.1.0")

    def ask(self, method, **params):
        """Sends a call; its number."""
        self.last += 1
        line = {"jsonrpc": "2.0", "id": self.last, "method": method, "params": params}
        self.socket.sendall(json.dumps(line).encode() + b"\n")
        return self.last

    def answer(self, number):
        """The answer to a call: the result, or an error as {"error": code}."""
        while number not in self.answers:
            line = self.reader.readline()
            if not line:
                raise ConnectionError("chatd has ended")
            told = json.loads(line)
            if "id" in told:
                self.answers[told["id"]] = told
        told = self.answers.pop(number)
        return told["result"] if "result" in told else {"error": told["error"]["data"]["code"]}

    def call(self, method, **params):
        """A call and its answer."""
        return self.answer(self.ask(method, **params))

    def session(self, peer):
        """The session with somebody, or nothing."""
        for session in self.call("sessions", profile="default")["items"]:
            if session["peer"] == peer:
                return session
        return None

    def history(self):
        """Everything, oldest first."""
        items, after = [], None
        while True:
            params = {"profile": "default"} if after is None else {"profile": "default", "next": after}
            page = self.call("read", **params)
            items += page["items"]
            after = page.get("next")
            if after is None:
                return items


def until(seconds, fact):
    """The first true value of a fact, or its last."""
    end = time.monotonic() + seconds
    while True:
        value = fact()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.02)


def meet(home_a, a, home_b, b, how=None):
    alice, bob = Chatd(home_a), Chatd(home_b)
    more = {how: True} if how else {}
    asked = alice.call("startprivate", profile="default", user=b, timeout_ms=10000, **more)
    if "error" in asked:
        sys.exit(f"startprivate: {asked}")
    came = lambda: any(r["peer"] == a for r in bob.call("requests", profile="default")["items"])
    if not until(10, came):
        sys.exit("the request did not come")
    began = time.monotonic()
    accepted = bob.call("accept", profile="default", user=a, timeout_ms=70000)
    opened = time.monotonic()
    if "error" in accepted:
        sys.exit(f"accept: {accepted['error']} after {opened - began:.1f} s")
    first = bob.call("private", profile="default", user=a, text="first", key=f"first-{began}", wait="delivered", timeout_ms=20000)
    told = time.monotonic()
    if first.get("state") != "delivered":
        sys.exit(f"first text: {first}")
    at_first = bob.session(a)["path"]
    # a direct path may be found while the relay already carries texts
    until(6, lambda: bob.session(a).get("path") == "direct")
    after = time.monotonic() - began
    path = bob.session(a).get("path")
    later = f", {path} after {after:.1f} s" if path != at_first else ""
    print(f"{at_first}{later}; open {1000 * (opened - began):.0f} ms; first text {1000 * (told - began):.0f} ms")


def send(home, peer, word, count, seconds):
    count, seconds = int(count), float(seconds)
    began, queued, failed = time.monotonic(), 0, 0
    chatd = Chatd(home)
    for number in range(1, count + 1):
        due = began + seconds * number / count
        time.sleep(max(0, due - time.monotonic()))
        text = f"{word} {number:05}"
        # a chatd that is killed comes back: the key makes the second try the same text
        end = time.monotonic() + 60
        while True:
            try:
                answer = chatd.call(
                    "private", profile="default", user=peer, text=text, key=f"{word}-{number}", wait="queued", timeout_ms=30000
                )
                break
            except (ConnectionError, OSError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)
                try:
                    chatd = Chatd(home)
                except OSError:
                    pass
        if "error" in answer:
            failed += 1
        else:
            queued += 1
    print(f"{word}: {queued} queued, {failed} refused")


def settle(home, peer, seconds):
    chatd = Chatd(home)

    def quiet():
        session = chatd.session(peer)
        return session is None or session["queued"] == 0

    if not until(float(seconds), quiet):
        sys.exit(f"{chatd.session(peer)['queued']} texts to {peer} are still on the way")


def path(home, peer, seconds="0", wanted=None):
    chatd = Chatd(home)
    now = lambda: (chatd.session(peer) or {}).get("path")
    if wanted:
        until(float(seconds), lambda: now() == wanted)
    session = chatd.session(peer) or {"state": "none"}
    print(session.get("path") or session["state"])
    if wanted and session.get("path") != wanted:
        sys.exit(1)


def check(home_from, sender, home_to, receiver, word, count, some=None):
    sent = [m for m in Chatd(home_from).history() if m["from"] == sender and m["text"].startswith(word + " ")]
    got = [m for m in Chatd(home_to).history() if m["from"] == sender and m["text"].startswith(word + " ")]
    states = {m["text"]: m["state"] for m in sent}
    texts = [m["text"] for m in got]
    delivered = [t for t, state in states.items() if state in ("delivered", "read")]
    gave_up = [t for t, state in states.items() if state == "failed"]
    unsure = len(states) - len(delivered) - len(gave_up)
    lost = len(set(delivered) - set(texts))
    ghosts = len(set(texts) & set(gave_up))
    doubled = len(texts) - len(set(texts))
    disorder = sum(1 for one, next_one in zip(texts, texts[1:]) if one >= next_one)
    print(
        f"{word}: {len(states)} of {count} queued, {len(texts)} arrived, {len(gave_up)} failed, {unsure} open; "
        f"lost {lost}, doubled {doubled}, out of order {disorder}, failed but there {ghosts}"
    )
    missing = len(states) - len(gave_up) - len(set(texts))
    # where nothing was queued nothing can be lost: that shows nothing
    refused = not texts if some else len(states) != int(count)
    if refused or lost or doubled or disorder or ghosts or unsure or missing:
        sys.exit(1)


def offered(home):
    chatd = Chatd(home)

    def waiting():
        files = chatd.call("file_list", profile="default")["items"]
        return [file["id"] for file in files if file["state"] == "offered"]

    ids = until(10, waiting)
    if not ids:
        sys.exit("no file is offered")
    print(ids[-1])


def memory(pid, text):
    wanted, keep = text.encode(), len(text)
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            span, rights = line.split()[:2]
            if "r" not in rights or "[v" in line:
                continue
            at, end = (int(part, 16) for part in span.split("-"))
            tail = b""
            while at < end:
                try:
                    mem.seek(at)
                    piece = mem.read(min(1 << 24, end - at))
                except (OSError, ValueError):
                    break
                if not piece:
                    break
                if wanted in tail + piece:
                    sys.exit(f"{text} is in the memory of process {pid}: {line.strip()}")
                tail, at = piece[-keep:], at + len(piece)


if __name__ == "__main__":
    commands = {"meet": meet, "send": send, "settle": settle, "path": path, "check": check, "offered": offered, "memory": memory}
    commands[sys.argv[1]](*sys.argv[2:])
