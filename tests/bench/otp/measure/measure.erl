%% The stall bench of the peer: the same actors, the same load and the same windows
%% as the host's, with release_handler in the place of `host upgrade`.
-module(measure).
-export([main/0]).

%% Donations in each of the campaigns beside those that are measured.
-define(BESIDE_DONATIONS, 10).

%% Between a switch and the steady window after it.
-define(SETTLE_MS, 2000).

main() ->
    spawn(fun() ->
        Code =
            try run() of
                ok -> 0
            catch
                Class:Why:Stack ->
                    io:format("the peer failed: ~p ~p~n~p~n", [Class, Why, Stack]),
                    1
            end,
        halt(Code)
    end).

run() ->
    Actors = setting("BENCH_ACTORS", 100000),
    Donations = setting("BENCH_DONATIONS", 10),
    Beside = setting("BENCH_BESIDE", 0),
    Clients = setting("BENCH_CLIENTS", 4),
    Rate = setting("BENCH_RATE", 250),
    Runs = setting("BENCH_RUNS", 5),
    Seed = setting("BENCH_SEED", erlang:system_time(second)),
    io:format(
        "peer: Erlang/OTP ~s, ERTS ~s, ~w schedulers; ~w actors with ~w donations each, "
        "~w small ones beside them, ~w clients with ~w calls/s each, ~w runs, seed ~w~n",
        [
            erlang:system_info(otp_release),
            erlang:system_info(version),
            erlang:system_info(schedulers_online),
            Actors,
            Donations,
            Beside,
            Clients,
            Rate,
            Runs,
            Seed
        ]
    ),
    {ok, _} = release_handler:unpack_release("giving-0.2.0"),
    Empty = erlang:memory(total),
    {Took, Campaigns} = timer:tc(fun() -> open(1, Actors, Donations) end),
    Each = (erlang:memory(total) - Empty) div Actors,
    io:format("filled in ~.1f s; ~w bytes an actor~n", [Took / 1.0e6, Each]),
    Others = open(Actors + 1, Beside, ?BESIDE_DONATIONS),
    Called =
        case Beside of
            0 -> Campaigns;
            _ -> Others
        end,

    Period = 1000 div Rate,
    Began = erlang:monotonic_time(millisecond) + 100,
    Start = fun(Number) ->
        Of = #{
            number => Number,
            campaigns => Called,
            began => Began,
            offset => Period * Number div Clients,
            period => Period,
            seed => Seed
        },
        paced:start(Of, self())
    end,
    Load = [Start(Number) || Number <- lists:seq(0, Clients - 1)],
    timer:sleep(?SETTLE_MS),
    Switches = lists:append([
        [switch(Run, up, "0.2.0"), switch(Run, down, "0.1.0")]
     || Run <- lists:seq(1, Runs)
    ]),
    Calls = lists:keysort(2, lists:append([paced:stop(Client) || Client <- Load])),
    report(Switches, Calls),
    Filled = Actors * Donations + Beside * ?BESIDE_DONATIONS,
    check(tuple_to_list(Campaigns) ++ tuple_to_list(Others), Filled, Calls).

%% So many campaigns from number First on.
open(First, Campaigns, Donations) ->
    Numbers = lists:seq(First, First + Campaigns - 1),
    list_to_tuple([giving_sup:open(Number, Donations) || Number <- Numbers]).

%% From the request until the release is permanent. An actor may take as long as it needs:
%% by default it is given five seconds, and then the node is restarted.
switch(Run, Phase, To) ->
    From = erlang:monotonic_time(microsecond),
    Patient = [{suspend_timeout, infinity}, {code_change_timeout, infinity}],
    {ok, _Other, _Description} = release_handler:install_release(To, Patient),
    ok = release_handler:make_permanent(To),
    Until = erlang:monotonic_time(microsecond),
    io:format("run ~w ~s: ~w ms~n", [Run, Phase, (Until - From) div 1000]),
    timer:sleep(?SETTLE_MS),
    Steady = erlang:monotonic_time(microsecond),
    timer:sleep((Until - From + 999) div 1000),
    {Run, Phase, {From, Until}, {Steady, erlang:monotonic_time(microsecond)}}.

report(Switches, Calls) ->
    Counted = [
        {Run, Phase, windows:figures(Switch, Calls), windows:figures(Steady, Calls)}
     || {Run, Phase, Switch, Steady} <- Switches
    ],
    Failed = length([failed || {_, _, false} <- Calls]),
    io:format("calls: ~w answered, ~w failed; times in ms~n", [length(Calls), Failed]),
    io:format("~-16s ~s~n", ["run", windows:header()]),
    Line = fun(Run, Name, Figures) ->
        Title = io_lib:format("~w ~s", [Run, Name]),
        io:format("~-16s ~s~n", [Title, windows:row(Figures)])
    end,
    [
        begin
            Line(Run, Phase, Switch),
            Line(Run, steady, Steady)
        end
     || {Run, Phase, Switch, Steady} <- Counted
    ],
    Median = fun(Phase, Name, Which) ->
        Of = [element(Which, Row) || Row <- Counted, element(2, Row) =:= Phase],
        io:format("median otp  ~-11s ~s~n", [Name, windows:row(windows:median(Of))])
    end,
    [
        begin
            Median(Phase, atom_to_list(Phase), 3),
            Median(Phase, "steady", 4)
        end
     || Phase <- [up, down]
    ],
    ok.

check(Campaigns, Filled, Calls) ->
    Acknowledged = Filled + length([ok || {_, _, true} <- Calls]),
    Count = fun(Campaign, Sum) ->
        #{count := Count} = gen_server:call(Campaign, summary, infinity),
        Sum + Count
    end,
    InState = lists:foldl(Count, 0, Campaigns),
    io:format("check: ~w donations acknowledged, ~w in the state~n", [Acknowledged, InState]),
    true = InState >= Acknowledged,
    ok.

setting(Name, Default) ->
    case os:getenv(Name) of
        false -> Default;
        Text -> list_to_integer(Text)
    end.
