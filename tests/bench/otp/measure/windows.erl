%% What is counted in a window of time, as the host's bench counts it.
-module(windows).
-export([figures/2, median/1, header/0, row/1]).

%% Calls in the order of their completion; a window is {from, to} in microseconds.
figures({From, To}, Calls) ->
    Times = lists:sort([
        Done - Due
     || {Due, Done, _} <- Calls, Done >= From, Due =< To
    ]),
    #{
        length => To - From,
        calls => length(Times),
        p50 => quantile(Times, 0.5),
        p99 => quantile(Times, 0.99),
        p999 => quantile(Times, 0.999),
        max => quantile(Times, 1.0),
        stall => stall({From, To}, [Done || {_, Done, true} <- Calls])
    }.

%% The longest time in which no call completed; beyond the edges it counts whole.
stall(_Window, []) ->
    0;
stall({From, To}, [First | Rest]) ->
    Longer = fun(Done, {Last, Longest}) ->
        case Done > From andalso Last < To of
            true -> {Done, max(Longest, Done - Last)};
            false -> {Done, Longest}
        end
    end,
    {_, Longest} = lists:foldl(Longer, {First, 0}, Rest),
    Longest.

median(Figures) ->
    Of = fun(Key) -> quantile(lists:sort([maps:get(Key, F) || F <- Figures]), 0.5) end,
    maps:from_list([{Key, Of(Key)} || Key <- [length, calls, p50, p99, p999, max, stall]]).

quantile([], _Share) ->
    0;
quantile(Sorted, Share) ->
    lists:nth(max(1, ceil(Share * length(Sorted))), Sorted).

header() ->
    io_lib:format("~10s ~8s ~9s ~9s ~9s ~9s ~9s", [
        "length", "calls", "p50", "p99", "p99.9", "max", "stall"
    ]).

row(#{length := Length, calls := Calls} = Figures) ->
    Times = [ms(maps:get(Key, Figures)) || Key <- [p50, p99, p999, max, stall]],
    io_lib:format("~10s ~8w ~9s ~9s ~9s ~9s ~9s", [ms(Length), Calls | Times]).

ms(Microseconds) ->
    io_lib:format("~.2f", [Microseconds / 1000]).
