%% The application: nothing but its supervisor.
-module(giving_app).
-behaviour(application).
-export([start/2, stop/1]).

start(_Type, _Args) ->
    giving_sup:start_link().

stop(_State) ->
    ok.
