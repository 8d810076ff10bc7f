%% A campaign, version 0.2.0: every donation has a fund and a currency, and there
%% is a balance for each of both. What 0.1.0 took is sadaqah.
-module(campaign).
-vsn("0.2.0").
-behaviour(gen_server).
-export([start_link/2]).
-export([init/1, handle_call/3, handle_cast/2, code_change/3]).

%% ledger: donation id => {receipt number, donor, fund, cents, currency}
%% balances: {fund, currency} => cents
-record(campaign_2, {
    title, currency, goal, total = 0, count = 0, ledger = #{}, balances = #{}
}).

start_link(Number, Donations) ->
    gen_server:start_link(?MODULE, {Number, Donations}, []).

init({Number, Donations}) ->
    Title = <<"Campaign ", (integer_to_binary(Number))/binary>>,
    Empty = #campaign_2{title = Title, currency = usd, goal = 100000000},
    Fill = fun(Index, Campaign) -> take({fill, Index}, <<"a donor">>, 125, Campaign) end,
    {ok, lists:foldl(Fill, Empty, lists:seq(1, Donations))}.

handle_call({donate, Id, Donor, Cents}, _From, Campaign = #campaign_2{ledger = Ledger}) ->
    case Ledger of
        #{Id := {Receipt, Donor, sadaqah, Cents, _Currency}} ->
            {reply, {ok, Receipt, duplicate}, Campaign};
        #{Id := _} ->
            {reply, {error, conflict}, Campaign};
        #{} ->
            Taken = take(Id, Donor, Cents, Campaign),
            {reply, {ok, Taken#campaign_2.count, Taken#campaign_2.total}, Taken}
    end;
handle_call(summary, _From, Campaign) ->
    #campaign_2{total = Total, count = Count} = Campaign,
    {reply, #{version => "0.2.0", total => Total, count => Count}, Campaign}.

handle_cast(_Message, Campaign) ->
    {noreply, Campaign}.

%% Down: what 0.1.0 has no place for is dropped.
code_change({down, _To}, Campaign, _Extra) ->
    #campaign_2{title = Title, currency = Currency, goal = Goal} = Campaign,
    #campaign_2{total = Total, count = Count, ledger = Ledger} = Campaign,
    Old = fun(_Id, {Receipt, Donor, _Fund, Cents, _Currency}) -> {Receipt, Donor, Cents} end,
    {ok, {campaign, Title, Currency, Goal, Total, Count, maps:map(Old, Ledger)}};
code_change(_From, {campaign, Title, Currency, Goal, Total, Count, Ledger}, _Extra) ->
    New = fun(_Id, {Receipt, Donor, Cents}) -> {Receipt, Donor, sadaqah, Cents, Currency} end,
    {ok, #campaign_2{
        title = Title,
        currency = Currency,
        goal = Goal,
        total = Total,
        count = Count,
        ledger = maps:map(New, Ledger),
        balances = #{{sadaqah, Currency} => Total}
    }}.

take(Id, Donor, Cents, Campaign) ->
    #campaign_2{currency = Currency, total = Total, count = Count} = Campaign,
    #campaign_2{ledger = Ledger, balances = Balances} = Campaign,
    Receipt = Count + 1,
    Account = {sadaqah, Currency},
    Balance = maps:get(Account, Balances, 0),
    Campaign#campaign_2{
        total = Total + Cents,
        count = Receipt,
        ledger = Ledger#{Id => {Receipt, Donor, sadaqah, Cents, Currency}},
        balances = Balances#{Account => Balance + Cents}
    }.
