%% A campaign, version 0.1.0: donations in one currency, each taken once.
-module(campaign).
-vsn("0.1.0").
-behaviour(gen_server).
-export([start_link/2]).
-export([init/1, handle_call/3, handle_cast/2, code_change/3]).

%% ledger: donation id => {receipt number, donor, cents}
-record(campaign, {title, currency, goal, total = 0, count = 0, ledger = #{}}).

start_link(Number, Donations) ->
    gen_server:start_link(?MODULE, {Number, Donations}, []).

init({Number, Donations}) ->
    Title = <<"Campaign ", (integer_to_binary(Number))/binary>>,
    Empty = #campaign{title = Title, currency = usd, goal = 100000000},
    Fill = fun(Index, Campaign) -> take({fill, Index}, <<"a donor">>, 125, Campaign) end,
    {ok, lists:foldl(Fill, Empty, lists:seq(1, Donations))}.

handle_call({donate, Id, Donor, Cents}, _From, Campaign = #campaign{ledger = Ledger}) ->
    case Ledger of
        #{Id := {Receipt, Donor, Cents}} ->
            {reply, {ok, Receipt, duplicate}, Campaign};
        #{Id := _} ->
            {reply, {error, conflict}, Campaign};
        #{} ->
            Taken = take(Id, Donor, Cents, Campaign),
            {reply, {ok, Taken#campaign.count, Taken#campaign.total}, Taken}
    end;
handle_call(summary, _From, Campaign) ->
    #campaign{total = Total, count = Count} = Campaign,
    {reply, #{version => "0.1.0", total => Total, count => Count}, Campaign}.

handle_cast(_Message, Campaign) ->
    {noreply, Campaign}.

code_change(_From, Campaign, _Extra) ->
    {ok, Campaign}.

take(Id, Donor, Cents, Campaign) ->
    #campaign{total = Total, count = Count, ledger = Ledger} = Campaign,
    Receipt = Count + 1,
    Campaign#campaign{
        total = Total + Cents,
        count = Receipt,
        ledger = Ledger#{Id => {Receipt, Donor, Cents}}
    }.
