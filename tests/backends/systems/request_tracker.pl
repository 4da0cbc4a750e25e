# Fills a new database of Request Tracker's: two queues, one for each tenant, with their people and custom fields, and
# a ticket of a requester's. Prints a token for each user.
use strict;
use warnings;
use lib '/usr/share/request-tracker5/lib';
use RT -init;

my $system = RT->SystemUser;
my @agent_rights = qw(SeeQueue ShowTicket ShowTicketComments CreateTicket ReplyToTicket CommentOnTicket ModifyTicket
    OwnTicket ReassignTicket DeleteTicket SeeCustomField ModifyCustomField);

sub made {
    my ($kind, %is) = @_;
    my $record = "RT::$kind"->new($system);
    my ($id, @said) = $record->Create(%is);
    die "$kind: @said" unless $id;
    return $record;
}

sub grant {
    my ($principal, $queue, @rights) = @_;
    for my $right (@rights) {
        my ($ok, $said) = $principal->GrantRight(Right => $right, Object => $queue);
        die $said unless $ok;
    }
}

my %queue = map { $_ => made('Queue', Name => $_) } 'Support', 'Elsewhere';
my $everyone = RT::Group->new($system);
$everyone->LoadSystemInternalGroup('Everyone');
for my $queue (values %queue) {
    grant($everyone->PrincipalObj, $queue, qw(CreateTicket ReplyToTicket));
}
for my $name ('Remit key', 'Tags') {
    my $field = made('CustomField', Name => $name, Type => 'FreeformMultiple', LookupType => 'RT::Queue-RT::Ticket');
    $field->AddToObject($_) for values %queue;
}
for my $is (['remit', 'Support'], ['agent', 'Support'], ['colleague', 'Support'], ['outside', 'Elsewhere']) {
    my ($name, $queue) = @$is;
    my $user = made('User', Name => $name, EmailAddress => "$name\@larkspur.example", Privileged => 1);
    grant($user->PrincipalObj, $queue{$queue}, @agent_rights);
    my ($ok, $said, $token) = RT::AuthToken->new($system)->Create(Owner => $user->id, Description => 'tests');
    die $said unless $ok;
    print "$name $token\n";
}

made('Ticket', Queue => 'Support', Subject => 'Where is my scarf?', Requestor => $ARGV[0],
    MIMEObj => MIME::Entity->build(Type => 'text/plain', Data => ["It should have come on Monday.\n"]));
