"""The telling breaks: what each does, where, and the test by name that must turn red.

`run.py` applies them one by one to a copy of the tree. A mutant whose text is no longer in its file must be brought up
to date (tests/mutants/test_mutants.py says so in the ordinary run).
"""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    what: str
    file: str
    old: str
    new: str
    test: str


KERNEL = "runtime/kernel/"
OTP = "runtime/otp/"
OBSERVE = "runtime/observe/"
REGISTRY = "tests/otp/test_registry.py::"
DEBUG = "tests/otp/test_sys_debug_suite.py::"
APPLICATION = "tests/otp/test_application.py::"
ALARMS = "tests/observe/test_alarm_handler_suite.py::"
SYSMON = "tests/observe/test_sysmon.py::"
LOG = "tests/observe/test_logger_std_h_suite.py::"
RESTARTS = "tests/otp/test_supervisor_suite_restarts.py::"
STATEM = "tests/otp/test_gen_statem_suite.py::"
CODE = "runtime/code/"
ADMIN = "runtime/admin/"
RELEASE_LOG = "tests/code/test_release_log.py::"
BUNDLE = "tests/code/test_bundle.py::"
CONTROL = "tests/admin/test_control_socket.py::"
PUSH = "tests/admin/test_push_operations.py::"
UPGRADE = "tests/upgrade/test_upgrades.py::"

MUTANTS = [
    Mutant(
        "drop the receive mark",
        KERNEL + "receive.py",
        "seen = mark.start(box) if mark is not None else 0",
        "seen = 0",
        "tests/kernel/test_processes.py::test_receive_mark_skips_older_mail",
    ),
    Mutant(
        "deliver Down before the name is free",
        KERNEL + "death.py",
        "        del scheduler.names[p.name]  # free",
        "        scheduler.run_callback(scheduler.names.pop, p.name)  # free",
        "tests/kernel/test_exits.py::test_named_down",
    ),
    Mutant(
        "treat `kill` over a link like exit(pid, kill)",
        KERNEL + "signals.py",
        "if origin is not Origin.LINK and word == KILL:",
        "if word == KILL:",
        "tests/kernel/test_signals.py::test_exit_signal_table",
    ),
    Mutant(
        "let a process that ends normally take its links with it",
        KERNEL + "signals.py",
        "if word == NORMAL and origin is not Origin.SELF:",
        "if word == NORMAL and origin is Origin.EXIT:",
        "tests/kernel/test_signals.py::test_exit_signal_table",
    ),
    Mutant(
        "keep what a callback's own receive left over from its mailbox",
        KERNEL + "scheduler.py",
        "                            _keep(p)",
        "                            pass",
        "tests/kernel/test_processes.py::test_receive_inside_a_callback_keeps_what_it_did_not_take",
    ),
    Mutant(
        "leave the monitor of an answered call behind",
        KERNEL + "calls.py",
        "            watchers.pop(self, None)\n",
        "            pass\n",
        "tests/kernel/test_processes.py::test_a_timed_out_call_leaves_nothing_behind",
    ),
    Mutant(
        "leave a delivered Down in the mailbox in spite of flush",
        KERNEL + "death.py",
        "    if flush and not found:",
        "    if False:",
        "tests/kernel/test_processes.py::test_demonitor_with_flush_and_info",
    ),
    Mutant(
        "wait for a dead stack instead of burying it",
        KERNEL + "scheduler.py",
        "    if me.defiance <= MAX_DEFIANCE:",
        "    if True:",
        "tests/kernel/test_exits.py::test_a_stubborn_process_is_dead_at_once_and_its_stack_is_buried",
    ),
    Mutant(
        "count restarts off by one",
        OTP + "restart_intensity.py",
        "if len(times) == self.intensity and",
        "if len(times) + 1 >= self.intensity and",
        RESTARTS + "test_one_for_one",
    ),
    Mutant(
        "restart a temporary child",
        OTP + "static_children.py",
        '            if restart != "temporary":\n                return self._restart(child, reason)',
        "            return self._restart(child, reason)",
        RESTARTS + "test_temporary",
    ),
    Mutant(
        "restart a transient child whatever its reason",
        OTP + "static_children.py",
        'if failed or restart == "permanent":',
        'if failed or restart != "temporary":',
        RESTARTS + "test_transient",
    ),
    Mutant(
        "stop children in the order of their start",
        OTP + "static_children.py",
        "        for child in list(reversed(self.by_id.values())):",
        "        for child in list(self.by_id.values()):",
        RESTARTS + "test_order_of_children",
    ),
    Mutant(
        "cycle earlier children too under rest_for_one",
        OTP + "static_children.py",
        "            group = group[group.index(child) :]",
        "            pass",
        RESTARTS + "test_rest_for_one",
    ),
    Mutant(
        "restart a temporary bystander of a group",
        OTP + "static_children.py",
        '            if one.spec.restart == "temporary":\n                continue',
        '            if one.spec.restart == "none":\n                continue',
        RESTARTS + "test_temporary_bystander",
    ),
    Mutant(
        "kill a child at once instead of asking it to shut down",
        OTP + "child_process.py",
        "exit(pid, KILL if how == BRUTAL_KILL else SHUTDOWN)",
        "exit(pid, KILL)",
        RESTARTS + "test_order_of_children",
    ),
    Mutant(
        "reply before terminate has run",
        OTP + "server_engine.py",
        "    try:\n        server.terminate(reason)\n",
        "    try:\n        if call is not None and value is not UNSET:\n            reply(call, value)\n        server.terminate(reason)\n",
        "tests/otp/test_gen_server_suite.py::test_call_stop_reply_runs_terminate_first",
    ),
    Mutant(
        "run postponed events newest first",
        OTP + "state_machine_engine.py",
        "_put_first(engine, engine.postponed)",
        "_put_first(engine, engine.postponed[::-1])",
        STATEM + "test_event_order",
    ),
    Mutant(
        "let a state time-out survive the change of state",
        OTP + "state_machine_engine.py",
        "        engine.cancel(STATE_TIMEOUT)\n    if plan is None:",
        "        pass\n    if plan is None:",
        "tests/otp/test_gen_statem_suite_times.py::test_state_timeout",
    ),
]

# State machines, event managers, tasks, typed requests.
MUTANTS += [
    Mutant(
        "state machine: let an event time-out survive an event",
        OTP + "state_machine_engine.py",
        "    if due is not None:\n        engine.cancel(EVENT_TIMEOUT)\n",
        "",
        "tests/otp/test_gen_statem_suite_times.py::test_event_timeout_is_cancelled_by_any_event",
    ),
    Mutant(
        "state machine: put inserted events behind what waits",
        OTP + "state_machine_engine.py",
        "_put_first(engine, plan.inserted)",
        "engine.queue = deque([*(engine.queue or ()), *plan.inserted])",
        STATEM + "test_event_order_whole",
    ),
    Mutant(
        "state machine: make an enter call without a change of state",
        OTP + "state_machine_engine.py",
        "            changed = enter = True",
        "            changed = True\n        enter = True",
        STATEM + "test_state_enter",
    ),
    Mutant(
        "state machine: run zero time-outs newest first",
        OTP + "state_machine_engine.py",
        "engine.zero.popleft()",
        "engine.zero.pop()",
        "tests/otp/test_state_machine_edges.py::test_ten_thousand_timeouts_of_zero_happen_in_order",
    ),
    Mutant(
        "event manager: let a failing handler stay",
        OTP + "event_manager.py",
        '                self._remove(one, ("error", reason), reason, message, failed=True)\n                continue\n',
        "                continue\n",
        "tests/otp/test_gen_event_suite.py::test_a_failing_handler_is_removed_and_the_manager_lives",
    ),
    Mutant(
        "event manager: put a handler that is swapped in first",
        OTP + "event_manager.py",
        "self.handlers.insert(at, new)",
        "self.handlers.insert(0, new)",
        "tests/otp/test_event_manager_edges.py::test_a_swap_from_a_callback_keeps_the_place",
    ),
    Mutant(
        "event manager: keep the handler of an owner that has ended",
        OTP + "event_manager.py",
        "            self._owner_gone(message)\n",
        "            pass\n",
        "tests/otp/test_gen_event_suite.py::test_add_sup_handler_owner_ends_normally",
    ),
    Mutant(
        "task: keep the request of a task that was not in time",
        OTP + "task.py",
        "        value = kernel.receive_response(task.ref, timeout)\n    except CallError as error:\n        task.spent",
        "        value = kernel.wait_response(task.ref, timeout)\n    except CallError as error:\n        task.spent",
        "tests/otp/test_task.py::test_await_exits_on_timeout_and_demonitors_and_unaliases",
    ),
    Mutant(
        "task: link one of async_nolink",
        OTP + "task_supervisor.py",
        "    return asked(_start(sup, shutdown, answer, fn, args, me, callers(me)), fn, me)",
        "    return async_(sup, fn, *args, shutdown=shutdown)",
        "tests/otp/test_task_supervisor.py::test_async_spawns_tasks_under_the_supervisor",
    ),
    Mutant(
        "task: look the mailbox through for every result",
        OTP + "task.py",
        "None if limit is None else limit.left(), mark)",
        "None if limit is None else limit.left())",
        "tests/otp/test_task_edges.py::test_awaiting_a_hundred_tasks_with_a_long_mailbox_scans_it_but_a_few_times",
    ),
    Mutant(
        "task stream: run more tasks than max_concurrency",
        OTP + "task_stream.py",
        "while more and len(stream.running) < most and",
        "while more and",
        "tests/otp/test_task_stream.py::test_is_bounded_and_pulls_only_when_there_is_room",
    ),
    Mutant(
        "typed: let a request reach any method",
        OTP + "typed.py",
        "    if found.__class__ is not kind:",
        "    if found is None:",
        "tests/docs/test_typed_server.py::test_a_request_reaches_marked_methods_only",
    ),
    Mutant(
        "typed: send arguments that do not fit",
        OTP + "typed.py",
        "self._signature.bind(None, *args, **options)",
        "pass",
        "tests/otp/test_typed_edges.py::test_arguments_that_do_not_fit_are_the_callers_mistake",
    ),
    # ------------------------------------------- registry, pg, sys, alarms, the monitor, the log, applications
    Mutant(
        "registry: hold a key before it is known to be one",
        OTP + "registry_table.py",
        "        held = part.get(key)  # first: a key that cannot be one fails here, and nothing is held under it\n"
        "        self.hold(pid, key)\n",
        "        self.hold(pid, key)\n        held = part.get(key)\n",
        REGISTRY + "test_a_key_that_cannot_be_one_leaves_nothing_behind",
    ),
    Mutant(
        "registry: keep the lock of a holder that died",
        OTP + "registry_lock.py",
        "            if held.ref is ref:",
        "            if False:",
        REGISTRY + "test_lock_of_one_that_dies_before_it_can_let_go",
    ),
    Mutant(
        "registry: give a lock to one that has gone",
        OTP + "registry_lock.py",
        "            if call.process is not None:  # else",
        "            if True:  # else",
        REGISTRY + "test_lock_of_one_that_dies_is_passed_on",
    ),
    Mutant(
        "registry: forget the entries of the dead at the next look only",
        OTP + "registry_table.py",
        "        for key in holding.keys:\n            self.remove(key, pid)\n        if self.listeners:",
        "        if self.listeners:",
        REGISTRY + "test_entries_are_gone_before_the_death_is_heard_of",
    ),
    Mutant(
        "pg: count a member once, however often it joins",
        OTP + "pg_table.py",
        "        self[pid] = self.get(pid, 0) + 1\n        self.size += 1",
        "        self[pid] = 1\n        self.size = len(self)",
        "tests/otp/test_pg_suite.py::test_single",
    ),
    Mutant(
        "pg: keep empty groups",
        OTP + "pg_table.py",
        "        if not group.local and not group.remote:",
        "        if False:",
        "tests/otp/test_pg_suite.py::test_single",
    ),
    Mutant(
        "sys: let a debug function that fails end its process",
        OTP + "sys_debug.py",
        "                new = DONE\n            if new is DONE:",
        "                raise\n            if new is DONE:",
        DEBUG + "test_install_is_removed",
    ),
    Mutant(
        "sys: forget the start's debug options at the first message",
        OTP + "server_engine.py",
        "    control.debug = watched\n",
        "",
        DEBUG + "test_debug_options_at_the_start",
    ),
    Mutant(
        "sys: keep a file open that was opened for the dead",
        OTP + "sys_debug.py",
        "    def __del__(self) -> None:\n        self.close()\n",
        "",
        DEBUG + "test_killed_while_the_file_is_opened",
    ),
    Mutant(
        "alarms: forget all of them in a crash",
        OBSERVE + "alarms.py",
        "previous if isinstance(previous, dict) else _kept.alarms",
        "previous if isinstance(previous, dict) else {}",
        ALARMS + "test_alarms_and_subscribers_outlive_a_crash",
    ),
    Mutant(
        "alarms: do not tell the end of one cleared while its list was on the way",
        OBSERVE + "alarms.py",
        "            if id_ in (self.early or ()):",
        "            if False:",
        ALARMS + "test_what_is_cleared_between_list_and_subscription_is_told",
    ),
    Mutant(
        "sysmon: clear an alarm at the first good figure",
        OBSERVE + "sysmon_alarms.py",
        "            if value <= low:\n",
        "            if value < high:\n",
        SYSMON + "test_hysteresis_and_hold",
    ),
    Mutant(
        "sysmon: lose what the last monitor raised for others",
        OBSERVE + "sysmon_alarms.py",
        ' or name == "net" or name.startswith("store_")):',
        "):",
        SYSMON + "test_alarms_of_sources_are_still_theirs_after_a_crash_of_the_monitor",
    ),
    Mutant(
        "sysmon: say nothing again to new alarms",
        OBSERVE + "sysmon.py",
        "        if self.raised.keeper is None:\n            self.raised.tell_again()\n",
        "",
        SYSMON + "test_what_changes_while_the_alarms_are_down_is_told_when_they_are_back",
    ),
    Mutant(
        "log: drop without counting",
        OBSERVE + "log_handler.py",
        "            self._dropped += 1\n            return\n",
        "            return\n",
        LOG + "test_op_switch_to_drop",
    ),
    Mutant(
        "log: let huge records wait uncounted",
        OBSERVE + "log_handler.py",
        "        self._bytes_in += len(line)\n",
        "",
        LOG + "test_handler_requests_under_overload_kill",
    ),
    Mutant(
        "log: show a record whose filter failed",
        OBSERVE + "log_handler.py",
        '            kept = _notice(record, f"is withheld: a filter failed: {type(error).__name__}")',
        "            kept = error is not None",
        LOG + "test_filter_fail",
    ),
    Mutant(
        "application: take a kill at the start's end for a crash",
        OTP + "application_controller.py",
        '            entry.status = "stopping"\n            self._kill(entry)',
        "            self._kill(entry)",
        APPLICATION + "test_stop_while_the_start_is_just_done_never_ends_the_node",
    ),
    Mutant(
        "application: let a transient one end by shutdown without a word to the node",
        OTP + "application_controller.py",
        '(start_type == "transient" and inner != NORMAL)',
        '(start_type == "transient" and inner not in (NORMAL, "shutdown"))',
        APPLICATION + "test_end_of_an_application_by_its_start_type",
    ),
    Mutant(
        "application: let each that hangs take its time",
        OTP + "application.py",
        "_ask(Stop(info.name, allowed - grace, grace))",
        "_ask(Stop(info.name, allowed))",
        APPLICATION + "test_stop_all_keeps_to_its_limit_with_callbacks_that_hang",
    ),
    Mutant(
        "request: lose an answer that comes while its wait is being interrupted",
        KERNEL + "calls.py",
        "        if request.process is None and not request.delivered:",
        "        if request is None:",
        "tests/otp/test_task_edges.py::test_a_request_that_settles_while_its_wait_is_interrupted_is_a_message",
    ),
    Mutant(
        "monitor: let one that was taken back tell nevertheless",
        KERNEL + "death.py",
        "        target.monitored_by.pop(ref, None)\n    if flush",
        "        pass\n    if flush",
        "tests/kernel/test_exits.py::test_random_links_and_signals_follow_the_table",
    ),
    Mutant(
        "state machine: blame the new state for the old one's bad action",
        OTP + "state_machine_engine.py",
        "plan = _collect(machine, process, engine, None, result.actions, old)",
        "plan = _collect(machine, process, engine, None, result.actions, machine._machine_state)",
        "tests/otp/test_state_machine_mistakes.py::test_a_bad_action_says_where_it_is_from",
    ),
    Mutant(
        "task: start one of what is no function",
        OTP + "task_process.py",
        "    if not callable(fn):",
        "    if fn is not fn:",
        "tests/otp/test_task_edges.py::test_what_is_no_function_is_refused_before_anything_is_started",
    ),
    Mutant(
        "count a significant child that does not run",
        OTP + "static_children.py",
        "return not any(c.spec.significant and c.pid is not None for c in",
        "return not any(c.spec.significant for c in",
        "tests/otp/test_supervisor_suite_significant.py::test_significant_transient",
    ),
    Mutant(
        "release log: leave a torn record at the end",
        CODE + "records.py",
        "            os.ftruncate(self._file, whole)\n",
        "            pass\n",
        RELEASE_LOG + "test_every_torn_tail_is_tolerated",
    ),
    Mutant(
        "release log: believe what the disk gives",
        CODE + "blobs.py",
        "if digest(content) != name:",
        "if content is name:",
        RELEASE_LOG + "test_a_damaged_text_is_found_and_the_release_before_is_booted",
    ),
    Mutant(
        "release log: boot what was on probation",
        CODE + "release_log.py",
        '                if release.result == "probation":',
        '                if release.result == "passed":',
        RELEASE_LOG + "test_a_release_that_was_in_probation_at_the_end_is_passed_over",
    ),
    Mutant(
        "release log: forget nonces at a restart",
        CODE + "release_log.py",
        "            self._append(nonce_record(nonce, now))\n",
        "",
        RELEASE_LOG + "test_operations_and_nonces_survive",
    ),
    Mutant(
        "release log: use a damaged release's number again",
        CODE + "release_tables.py",
        'records: list[Record] = [{"t": "next", "number": self.next}]',
        "records: list[Record] = []",
        RELEASE_LOG + "test_a_lost_manifest_costs_its_release_alone",
    ),
    Mutant(
        "bundle: believe any signature",
        CODE + "bundle.py",
        "if not key.verify(signature, prefix + inner):",
        "if not signature:",
        BUNDLE + "test_every_changed_byte_is_noticed",
    ),
    Mutant(
        "bundle: take the signature of an order",
        CODE + "bundle.py",
        '_ORDER_PREFIX = b"evergreen order\\0"',
        "_ORDER_PREFIX = _PREFIX",
        BUNDLE + "test_orders",
    ),
    Mutant(
        "bundle: take one content in two forms",
        CODE + "bundle.py",
        "    if not same:\n",
        "    if not inner:\n",
        BUNDLE + "test_a_form_that_is_not_canonical",
    ),
    Mutant(
        "keys: use a private key that the group may read",
        CODE + "keys.py",
        "if status.st_mode & 0o077:",
        "if status.st_mode & 0o007:",
        "tests/code/test_keys.py::test_a_private_key_that_others_may_touch_is_refused",
    ),
    Mutant(
        "control socket: end a change with its client",
        ADMIN + "control.py",
        "            if not operation.changes:\n                exit",
        "            if operation:\n                exit",
        CONTROL + "test_a_leaving_client_ends_its_questions_but_not_its_changes",
    ),
    Mutant(
        "control socket: cut off who waits for an answer",
        ADMIN + "control.py",
        "        conn.set_idle_timeout(None)\n",
        "",
        CONTROL + "test_a_half_frame_and_an_idle_client_are_cut_off_in_the_end",
    ),
    Mutant(
        "push: take a bundle again when its base runs again",
        ADMIN + "push_operations.py",
        "if not _aside(self._code.log.use_nonce, manifest.nonce):",
        "if not manifest.nonce:",
        PUSH + "test_a_bundle_that_was_used_is_used_up_even_where_its_base_runs_again",
    ),
    Mutant(
        "push: take paths that are not managed",
        ADMIN + "push_operations.py",
        "if not self._code.roots.owns_relative(path):",
        "if not path:",
        PUSH + "test_what_a_bundle_must_fit",
    ),
    Mutant(
        "push: go back for another machine without a signed order",
        ADMIN + "push_operations.py",
        "            if request.who.is_local:",
        "            if request.who:",
        PUSH + "test_orders_from_another_machine",
    ),
    Mutant(
        "net: leave a Unix socket open to all",
        "runtime/net/unix.py",
        "        os.chmod(path, 0o600)",
        "        os.chmod(path, 0o666)",
        "tests/net/test_net_unix.py::test_frames_go_both_ways_and_the_file_is_the_owners_alone",
    ),
    Mutant(
        "upgrade: leave functions alone that sit in tables, closures and bound methods",
        CODE + "heap.py",
        "                    functions.setdefault(key, []).append(o)",
        "                    pass",
        UPGRADE + "test_a_module_of_every_kind_up_and_back",
    ),
    Mutant(
        "upgrade: lose what comes for a process while it is held",
        KERNEL + "gate.py",
        "        if held:\n            put_back(process, held)",
        "        del held",
        UPGRADE + "test_the_states_of_ten_thousand_processes_change_their_form_and_back",
    ),
    Mutant(
        "upgrade: give a held process its mail after what came later",
        KERNEL + "gate.py",
        "    process.q = deque(held)\n    process.q.extend(q or ())",
        "    process.q = deque(q or ())\n    process.q.extend(reversed(held))",
        UPGRADE + "test_the_states_of_ten_thousand_processes_change_their_form_and_back",
    ),
    Mutant(
        "upgrade: go back without telling the states",
        CODE + "releaser.py",
        "back = direction_of(plan.vsn_changes, by_age)",
        'back: Direction = "up"',
        UPGRADE + "test_the_states_of_ten_thousand_processes_change_their_form_and_back",
    ),
    Mutant(
        "upgrade: leave waiting messages of a class that grew as they are",
        CODE + "structs.py",
        "                    holder[i] = new",
        "                    pass",
        UPGRADE + "test_a_module_of_every_kind_up_and_back",
    ),
    Mutant(
        "upgrade: keep the states that a failing migration has changed",
        CODE + "processes.py",
        "        except BaseException as error:\n            _undo(undo)",
        "        except BaseException as error:",
        UPGRADE + "test_a_broken_release_of_every_kind_changes_nothing",
    ),
    Mutant(
        "upgrade: see the fault of a release, and leave it",
        CODE + "server.py",
        "            self.queue.appendleft(Work(way_back(probation, why), None))",
        "            pass",
        UPGRADE + "test_a_bad_release_rolls_itself_back",
    ),
    Mutant(
        "upgrade: keep decoders of frames that have another form now",
        CODE + "purity.py",
        "        if isinstance(part, ast.Call) and not _makes_a_value(part.func, namespace):",
        "        if isinstance(part, ast.Call):",
        UPGRADE + "test_a_frame_that_is_kept_until_it_is_answered_grows_and_shrinks",
    ),
]
