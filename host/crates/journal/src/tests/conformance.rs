//! One suite for every store: a test that takes a [`Place`] stands in this list, or
//! nobody runs it and the compiler says so.

macro_rules! on_each_store {
    ($($room:ident { $($test:ident,)+ })+) => {
        mod sqlite {
            $($(
                #[test]
                fn $test() {
                    super::super::$room::$test(&super::super::place::Sqlite::new());
                }
            )+)+
        }
        mod postgres {
            $($(
                #[test]
                fn $test() {
                    super::super::$room::$test(&super::super::place::Postgres::new());
                }
            )+)+
        }
    };
}

on_each_store! {
    audit {
        the_first_broken_group_is_named,
        an_action_is_in_the_chain_and_in_no_replay,
    }
    before {
        the_snapshot_before_the_version_is_kept_and_all_records_since_are_found,
        what_an_actor_was_before_holds_nothing_back_that_is_old_enough,
        what_an_actor_was_before_can_be_had_where_the_groups_since_its_tail_stay,
        who_goes_back_together_looks_through_the_journal_once,
        a_damaged_group_holds_up_those_only_who_need_it,
        timers_go_and_come_back_with_a_snapshot,
    }
    concurrent {
        readers_see_whole_actors_while_callers_append_and_snapshot,
    }
    copies {
        a_copy_made_beside_commits_is_whole_and_says_what_it_is,
        a_copy_replaces_nothing_and_a_failed_one_leaves_nothing,
        a_damaged_store_gives_no_copy,
        a_copy_becomes_a_store_of_either_kind,
    }
    failure {
        a_failed_group_takes_along_what_stands_behind_it_and_the_journal_goes_on,
        a_store_that_refuses_is_trouble_until_it_takes_something,
        a_record_out_of_sequence_is_not_written,
        a_panic_of_the_callback_closes_the_journal,
        nothing_is_admitted_while_too_much_waits,
        a_store_that_breaks_before_commit_has_nothing_and_is_not_used_again,
        an_owner_that_was_replaced_writes_nothing_and_must_be_looked_at,
    }
    keep {
        a_whole_store_is_found_whole_running_and_stopped,
        all_that_a_store_has_of_each_actor_is_handed_on,
        what_is_damaged_is_named,
        several_damages_are_told_apart,
    }
    many {
        many_are_read_as_each_of_them_is,
        what_actors_carry_is_read_without_their_records,
    }
    named {
        where_actors_stand_is_counted,
        messages_that_wait_are_named_with_the_version_of_their_shape,
    }
    once {
        an_answer_is_there_with_its_record_and_only_under_its_own_key,
        answers_are_forgotten_a_few_at_a_time_the_oldest_first,
        a_webhook_waits_until_it_is_taken_and_is_due_in_order,
        a_look_through_the_due_timers_goes_on_where_it_stood,
        what_becomes_of_a_webhook_within_a_group_keeps_its_order,
    }
    pieces {
        a_large_snapshot_is_valid_by_its_last_entry_and_others_commit_between_its_pieces,
        pieces_that_a_crash_left_are_read_by_no_one_and_are_removed,
        a_group_that_fails_between_two_pieces_leaves_the_snapshot_before,
        a_fenced_owner_writes_no_piece_and_makes_none_valid,
        a_snapshot_that_lacks_a_piece_never_becomes_valid,
        pieces_of_a_replaced_snapshot_are_stray_and_those_of_a_kept_one_stay,
        who_reads_while_snapshots_are_replaced_sees_a_whole_one,
        each_damage_of_a_piece_is_named,
    }
    proof {
        a_snapshot_without_its_records_is_a_violation,
        a_tail_that_begins_too_late_is_named_though_its_sum_holds,
        a_row_that_does_not_hold_is_refused_by_a_start_and_by_a_verification,
        what_an_older_host_has_written_is_read_from_the_beginning,
    }
    random {
        a_random_run_with_reopenings_agrees_with_the_model,
    }
    recovery {
        everything_is_there_after_an_orderly_end_and_after_a_crash,
        recovery_reads_only_what_some_replay_needs,
        a_damaged_group_is_named_and_nothing_is_overwritten,
        a_missing_group_is_noticed,
        a_damaged_snapshot_is_named_when_it_is_read,
    }
    retention {
        what_the_last_two_snapshots_need_stays_and_the_rest_goes,
        a_tail_that_begins_in_the_first_group_left_is_recovered,
        steps_are_bounded_and_young_groups_stay,
        who_holds_groups_back_is_named_and_a_snapshot_lets_go,
        snapshots_that_were_left_are_found_page_by_page_and_removed,
        a_damaged_group_is_not_removed,
    }
    rows {
        entries_end_in_order_and_are_read_back,
        a_snapshot_takes_the_place_of_the_records_it_includes,
        actors_are_listed_in_order_with_the_version_of_their_state,
        casts_are_used_up_once,
        timers_are_replaced_cancelled_and_used_up,
        what_a_group_writes_and_uses_up_itself_comes_to_nothing,
        dead_letters_quarantine_and_values_are_kept,
        the_whole_journal_is_verified_and_exported,
        close_commits_what_is_in_the_line_and_refuses_the_rest,
    }
    since {
        records_are_had_over_snapshots_and_a_start,
        too_many_are_too_many_and_so_are_too_large_ones,
    }
    sums {
        a_changed_row_beside_the_groups_is_named_and_not_used,
    }
}
