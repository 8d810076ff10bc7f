%% Keeps the campaigns, each a process of its own. The release handler finds them
%% through this supervisor when it changes their code.
-module(giving_sup).
-behaviour(supervisor).
-export([start_link/0, open/2]).
-export([init/1]).

start_link() ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, []).

%% Opens campaign Number with so many donations in it.
open(Number, Donations) ->
    {ok, Campaign} = supervisor:start_child(?MODULE, [Number, Donations]),
    Campaign.

init([]) ->
    Campaign = #{
        id => campaign,
        start => {campaign, start_link, []},
        restart => transient,
        modules => [campaign]
    },
    {ok, {#{strategy => simple_one_for_one}, [Campaign]}}.
