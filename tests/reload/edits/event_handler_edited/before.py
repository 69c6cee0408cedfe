from runtime.otp.event_manager import EventHandler


class Tally(EventHandler):
    def init(self):
        self.seen = []

    def handle_event(self, event):
        self.seen.append(event)

    def handle_call(self, request):
        return self.seen
