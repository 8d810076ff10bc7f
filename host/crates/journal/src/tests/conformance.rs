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
    concurrent {
        readers_see_whole_actors_while_callers_append_and_snapshot,
    }
    failure {
        a_failed_group_takes_along_what_stands_behind_it_and_the_journal_goes_on,
        a_record_out_of_sequence_is_not_written,
        a_panic_of_the_callback_closes_the_journal,
        nothing_is_admitted_while_too_much_waits,
        an_owner_that_was_replaced_writes_nothing_and_must_be_looked_at,
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
}
