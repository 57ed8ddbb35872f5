"""A status as plain text, one fact per line."""

from collections.abc import Iterator, Mapping
from typing import Any

from syncd.cli import advice
from syncd.cli.wording import clean, count, need, size, span

READ_ONLY = "read-only"  # a tier
PROBLEMS_SHOWN = 20  # per folder; all of them are in --json

Report = Mapping[str, Any]


def render(report: Report) -> str:
    """The whole status."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    yield node_line(report["node"])
    yield from audit_lines(report)
    yield from webhook_lines(report)
    yield admission_line(report["node"])
    yield from balancer_lines(report["node"])
    for folder in report["folders"]:
        yield f"folder {clean(folder['dir'])}: {clean(folder['state'])}"
        yield f"  {contents_line(folder)}"
        yield from (f"  {line}" for line in state_lines(folder))
        for each in folder["classes"]:
            yield f"  class {clean(each['class'])}: {class_state(each)}"
        for peer in folder["peers"]:
            name = clean(peer["name"]) or "?"
            yield f"  peer {name} ({clean(peer['address'])}): {peer_state(peer)}"
        if conflicts := conflicts_line(folder):
            yield f"  {conflicts}"
        yield from (f"  {line}" for line in hook_lines(folder))
        yield from (f"  {line}" for line in problem_lines(folder))
        yield from (f"  alarm: {clean(alarm)}" for alarm in folder.get("alarms", ()))


def node_line(node: Report) -> str:
    """Name, version and uptime of the node."""
    return f"node {clean(node['name'])}: syncd {clean(node['version'])}, up {span(node['uptime_seconds'])}"


def audit_lines(report: Report) -> Iterator[str]:
    """What is wrong with the audit log, and what to do about it."""
    audit = report.get("audit") or {}
    if trouble := clean(audit.get("problem")):
        yield f"problem: audit log: {trouble}"
        yield f"-> {advice.AUDIT}"
    if missed := audit.get("missed"):
        yield f"the audit log lacks {count(missed, 'event')}: it could not be written for too long"


def webhook_lines(report: Report) -> Iterator[str]:
    """What is wrong with the webhook, and what to do about it."""
    webhook = report.get("webhook") or {}
    if trouble := clean(webhook.get("problem")):
        waiting = f", {count(webhook['waiting'], 'event')} waiting" if webhook["waiting"] else ""
        yield f"problem: webhook: {clean(webhook['host'])}: {trouble}{waiting}"
        yield f"-> {advice.WEBHOOK}"
    if lost := webhook.get("lost"):
        yield f"{count(lost, 'event')} did not reach the webhook: `syncd events` may still have them"


def admission_line(node: Report) -> str:
    """Whether a balancer may send visitors, and why not."""
    if node.get("draining"):
        return f"traffic: {clean(node['reason'])}"
    return "traffic: ready" if node.get("ready") else f"traffic: not ready: {clean(node.get('reason'))}"


def balancer_lines(node: Report) -> Iterator[str]:
    """Who has a slot of the balancer that this node fills."""
    balancer = node.get("balancer")
    if not balancer:
        return
    if reason := clean(balancer["reason"]):
        yield f"balancer: cannot be told: {reason}"
        return
    held = ", ".join(f"{clean(each['slot'])} {clean(each['address'])}" for each in balancer["slots"] if each["address"])
    yield f"balancer: {clean(balancer['backend'])}: {held or 'no slot is filled'}"
    for server in balancer["without_slot"]:
        yield f"balancer: no slot is left for {clean(server)}: raise the number in its server-template"


def contents_line(folder: Report) -> str:
    """What the folder holds and what it needs."""
    held = ", ".join(filter(None, (contents(folder), uncounted(folder))))
    if fingerprint := clean(folder.get("fingerprint")):
        held = f"{held}, {'read-only ' if folder.get('tier') == READ_ONLY else ''}secret {fingerprint}"
    if not folder["need_files"]:
        return held
    return f"{held}; {need(folder['need_files'], folder['need_bytes'])}"


def contents(folder: Report) -> str:
    """How much is in the folder, as far as it is published."""
    return f"{count(folder['files'], 'file')}, {size(folder['bytes'])}"


def uncounted(folder: Report) -> str:
    """What a new index found and does not count before a peer, or the time for that, has settled it."""
    found = folder.get("uncounted", 0)
    if not found or folder.get("settled", True):
        return ""
    return (
        f"{found} found here {'is' if found == 1 else 'are'} not counted yet (this index is new and waits for a peer)"
    )


def state_lines(folder: Report) -> Iterator[str]:
    """Why the folder is in its state, and what to do about it."""
    if reason := clean(folder.get("reason")):
        yield f"reason: {reason}"
    if (scrub := folder.get("verifying")) and scrub["active"]:
        done = f"{count(scrub['files'], 'file')}, {size(scrub['bytes'])} of {size(folder['bytes'])}"
        yield f"verifying: {done}, {scrub['damaged']} damaged"
    if preferred := folder.get("prioritized"):
        yield f"goes first: {', '.join(map(clean, preferred))}"
    nobody = not any(peer["connected"] for peer in folder["peers"])
    strangers = nobody and any(peer.get("other_secret") for peer in folder["peers"])
    first = nobody and bool(folder["files"]) and folder.get("settled", False) and not _is_ready(folder)
    if advised := advice.for_state(folder["state"], _only_readers(folder), strangers, first):
        yield f"-> {advised}"


def _only_readers(folder: Report) -> bool:
    """Whether nobody here has the read-write secret, though others are here."""
    tiers = [folder.get("tier"), *(peer["tier"] for peer in folder["peers"] if peer["connected"])]
    return len(tiers) > 1 and set(tiers) == {READ_ONLY}


def _is_ready(folder: Report) -> bool:
    """Whether visitors may be sent to all of the folder's classes."""
    return all(each.get("ready", each["complete"]) for each in folder["classes"])


def class_state(each: Report) -> str:
    """Whether a class is complete, else what it needs."""
    if each["complete"]:
        return "complete"
    if each["need_files"]:
        return need(each["need_files"], each["need_bytes"])
    return clean(each.get("reason")) or "not yet compared with a peer"


def peer_state(peer: Report) -> str:
    """Connection, tier and lag of a peer."""
    reason = clean(peer.get("reason"))
    if not peer["connected"]:
        return f"not connected: {reason}" if reason else "not connected"
    lag = "in sync" if peer["in_sync"] else reason or "not in sync"
    since = f"{span(behind)} behind" if (behind := peer.get("lag_seconds") or 0) >= 1 else ""
    drain = "draining" if peer.get("draining") else ""
    return ", ".join(part for part in ("connected", clean(peer["tier"]), lag, since, drain) if part)


def conflicts_line(folder: Report) -> str:
    """How many conflicts there are; empty for none."""
    conflicts = folder["conflicts"]
    number = conflicts if isinstance(conflicts, int) else len(conflicts)
    return f"{count(number, 'conflict')}: see `syncd conflicts list`" if number else ""


def hook_lines(folder: Report) -> Iterator[str]:
    """What each command was last told, and what it is still to be told."""
    for hook in folder.get("hooks", ()):
        last, pending = hook["last"], hook["pending"]
        waiting = "many paths pending" if pending is None else f"{count(pending, 'path')} pending" if pending else ""
        if last is None:
            ran = "has not run yet"
        elif last["reason"]:
            ran = "failed"
        else:
            ran = f"ran for {'many paths' if last['paths'] is None else count(last['paths'], 'path')}"
        yield f"hook {clean(hook['command'])}: {', '.join(part for part in (ran, waiting) if part)}"


def problem_lines(folder: Report) -> Iterator[str]:
    """The first problems, each with its reason, and per operation what to do."""
    problems = folder["problems"]
    number = max(len(problems), folder.get("problem_count", 0))
    for problem in problems[:PROBLEMS_SHOWN]:
        path, operation, reason = (clean(problem[key]) for key in ("path", "operation", "reason"))
        yield f"problem: {path}: {operation}: {reason}"
    if number > len(problems[:PROBLEMS_SHOWN]):
        yield f"and {number - len(problems[:PROBLEMS_SHOWN])} more: syncd status --json"
    for operation in dict.fromkeys(problem["operation"] for problem in problems):
        if advised := advice.for_operation(operation):
            yield f"-> {clean(operation)}: {advised}"
