%% A paced client: sends each call when it is due, however many are before it, and
%% counts a call's time from when it was due. The same load as that of the host's
%% clients, without a network and without a disk.
-module(paced).
-export([start/2, stop/1]).

%% Calls that wait for an answer; what is due beyond it is sent late.
-define(WAITING_MAX, 400).

-record(client, {
    number, campaigns, began, period, sent = 0, waiting, calls = [], stop = false
}).

%% Of: number, campaigns (a tuple of processes), began (monotonic ms), offset and
%% period (ms), seed.
start(Of, Owner) ->
    spawn_link(fun() ->
        #{number := Number, campaigns := Campaigns, seed := Seed} = Of,
        #{began := Began, offset := Offset, period := Period} = Of,
        _ = rand:seed(exsss, {Seed, Number, 0}),
        Client = #client{
            number = Number,
            campaigns = Campaigns,
            began = Began + Offset,
            period = Period,
            waiting = gen_server:reqids_new()
        },
        arm(Client),
        Owner ! {self(), loop(Client)}
    end).

%% Sends no more, waits for every answer, and gives the calls as
%% {due, done, acknowledged}, in monotonic microseconds.
stop(Client) ->
    Client ! stop,
    receive
        {Client, Calls} -> Calls
    end.

loop(#client{stop = true, waiting = Waiting, calls = Calls} = Client) ->
    case gen_server:reqids_size(Waiting) of
        0 -> Calls;
        _ -> wait(Client)
    end;
loop(Client) ->
    wait(Client).

wait(Client) ->
    receive
        {timeout, _Timer, due} -> loop(send(Client));
        stop -> loop(Client#client{stop = true});
        Message -> loop(answered(Message, Client))
    end.

arm(Client) ->
    erlang:start_timer(due(Client), self(), due, [{abs, true}]).

%% When the next call is due: whole milliseconds, which timers keep exactly.
due(#client{began = Began, period = Period, sent = Sent}) ->
    Began + Period * Sent.

send(#client{stop = true} = Client) ->
    Client;
send(#client{waiting = Waiting} = Client) ->
    Late = due(Client) > erlang:monotonic_time(millisecond),
    case gen_server:reqids_size(Waiting) of
        _ when Late ->
            arm(Client),
            Client;
        ?WAITING_MAX ->
            erlang:start_timer(1, self(), due),
            Client;
        _ ->
            send(donate(Client))
    end.

donate(Client) ->
    #client{number = Number, sent = Sent, campaigns = Campaigns, waiting = Waiting} = Client,
    Campaign = element(rand:uniform(tuple_size(Campaigns)), Campaigns),
    Donation = {donate, {Number, Sent}, <<"a donor">>, rand:uniform(99999)},
    Due = due(Client) * 1000,
    Client#client{
        sent = Sent + 1,
        waiting = gen_server:send_request(Campaign, Donation, Due, Waiting)
    }.

answered(Message, #client{waiting = Waiting, calls = Calls} = Client) ->
    Done = erlang:monotonic_time(microsecond),
    case gen_server:check_response(Message, Waiting, true) of
        {{reply, {ok, _Receipt, _Total}}, Due, Left} ->
            Client#client{waiting = Left, calls = [{Due, Done, true} | Calls]};
        {_Error, Due, Left} ->
            Client#client{waiting = Left, calls = [{Due, Done, false} | Calls]}
    end.
